"""Run an exported ONNX file: outputs, latency, and occlusion maps of images."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard.readers.project_files import Unreadable
from tasks.core.errors import UserError
from tasks.inference.loaded_model import LoadedModel, load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_MODEL_BYTES = 500_000_000
PATCHES = 9
"""Patch positions along each side of an occlusion map."""
ROUNDS = 7


def milliseconds(model: LoadedModel, inputs: NDArray[Any]) -> float:
    """Median time of one call on this machine; the benchmark is on the Compression page."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        model.outputs(inputs)
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def load(path: Path) -> LoadedModel:
    """The model in the file, cached until the file changes; raises `Unreadable`."""
    stat = path.stat()
    if stat.st_size > MAX_MODEL_BYTES:
        raise Unreadable("unreadable.large", file=path.name, most="500 MB")
    return _load(path, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, mtime_ns: int) -> LoadedModel:
    try:
        return load_model(path)
    except UserError:
        raise Unreadable("unreadable.damaged", file=path.name) from None


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Softmax of logits (N, K)."""
    odds = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    probabilities: NDArray[np.float64] = odds / odds.sum(-1, keepdims=True)
    return probabilities


def occlusion_map(model: LoadedModel, picture: NDArray[np.uint8], answer: int) -> NDArray[np.float64]:
    """Occlusion map (H, W): by how much the probability of class `answer` falls when a patch of the image (C, H, W) is covered.

    Occlusion (Zeiler and Fergus 2013, arXiv 1311.2901); needs only the ONNX file.
    """
    _, height, width = picture.shape
    patch = (max(2, height // 5), max(2, width // 5))
    rows = np.linspace(0, height - patch[0], PATCHES).round().astype(int)
    columns = np.linspace(0, width - patch[1], PATCHES).round().astype(int)
    covered = np.repeat(picture[None], len(rows) * len(columns), axis=0)
    fill = np.median(picture, axis=(1, 2)).astype(picture.dtype)[:, None, None]
    places = [(row, column) for row in rows for column in columns]
    for number, (row, column) in enumerate(places):
        covered[number, :, row : row + patch[0], column : column + patch[1]] = fill
    whole = float(softmax(model.outputs(picture[None]))[0, answer])
    lost = whole - softmax(model.outputs(covered))[:, answer]
    total, times = np.zeros((height, width)), np.zeros((height, width))
    for (row, column), value in zip(places, lost, strict=True):
        total[row : row + patch[0], column : column + patch[1]] += value
        times[row : row + patch[0], column : column + patch[1]] += 1
    mean_loss: NDArray[np.float64] = total / np.maximum(times, 1)
    return mean_loss
