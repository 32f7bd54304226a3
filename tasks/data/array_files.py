"""Pictures with labels in an .npz file, as Keras (x_train, y_train, x_test, ...) and others (train_images, ...) store them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import UserError
from tasks.data.sources import existing_path
from tasks.data.splits_in_names import splits_of_files

PICTURE_WORDS, LABEL_WORDS = ("images", "image", "x", "pictures", "data"), ("labels", "label", "y", "targets", "target")
CHANNELS = (1, 3, 4)

LabelledPictures = tuple[str, str, NDArray[np.uint8], NDArray[Any]]
"""The name of the array, the split of its rows (empty if none), pictures (N, C, H, W) or (N, H, W), and labels (N,)."""


def read_pictures(path: Path) -> list[LabelledPictures]:
    """The arrays of pictures of an .npz file with their labels. Raises a `UserError` for other arrays."""
    try:
        with np.load(existing_path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} is no whole npz file of plain arrays: {' '.join(str(error).split())[:200]}") from None
    labels = {rest: name for name in arrays if (rest := _without(name, LABEL_WORDS)) is not None}
    pairs = {name: labels[rest] for name in arrays if (rest := _without(name, PICTURE_WORDS)) in labels}
    if not pairs:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())[:200]
        raise UserError(f"{path} holds {listed or 'no arrays'}; expected pictures and their labels, such as x_train and y_train")
    splits = splits_of_files(list(pairs))
    return [
        (name, splits.get(name, ""), *_checked(path, name, arrays[name], label, arrays[label])) for name, label in pairs.items()
    ]


def _without(name: str, words: tuple[str, ...]) -> str | None:
    """The name without one of these words; None if it has none."""
    parts = [part for part in re.split(r"[\W_]+", name.lower()) if part]
    present = [part for part in parts if part in words]
    return "_".join(part for part in parts if part != present[0]) if present else None


def _checked(
    path: Path, name: str, pictures: NDArray[Any], label_name: str, labels: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)  # one-hot
    if labels.ndim != 1 or len(labels) != len(pictures):
        raise UserError(f"{path}: {name} {pictures.shape} and {label_name} {labels.shape} do not match; expected one label each")
    if pictures.ndim == 4 and pictures.shape[-1] in CHANNELS and pictures.shape[1] not in CHANNELS:
        pictures = np.moveaxis(pictures, -1, 1)
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        pictures = pictures[:, 0]
    if not (pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[1] == 3)) or not pictures.size:
        raise UserError(f"{path}: {name} has the shape {pictures.shape}; expected (N, H, W) or (N, H, W, 3)")
    if pictures.dtype == np.uint8:
        return pictures, labels
    low, high = float(pictures.min()), float(pictures.max())
    if np.issubdtype(pictures.dtype, np.floating) and low >= 0 and high <= 1:
        return np.round(pictures * 255).astype(np.uint8), labels
    if low >= 0 and high <= 255:
        return np.round(pictures).astype(np.uint8), labels
    raise UserError(f"{path}: {name} holds {low:g} to {high:g}; expected pixels from 0 to 255, or from 0 to 1")
