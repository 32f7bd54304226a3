"""How unusual an input is, by a few numbers fitted on the train rows: they are small enough for a model's metadata.

Pictures: the distance from a low-rank Gaussian of the coarsely averaged pixels. Tables: the share of columns outside of the
range of the train rows. Texts: the share of unknown tokens, or the lack of known ones. Other inputs have no score.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode, b85decode, b85encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.storage import file_backed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.core.problem import PreprocessingState

    Array = NDArray[np.generic]
    Floats = NDArray[np.float64]

FEATURES = 49
"""At most this many averages describe a picture: 7 x 7 of one channel, 4 x 4 of each of three."""
RANK = 20
"""Axes of the Gaussian with a variance of their own; all others share one."""
FIT_ROWS = 20_000
"""The most train rows, evenly spaced, that are read."""
BLOCK_ROWS, BLOCK_VALUES = 2048, 2**22
LEAST_VARIANCE = 1e-6
"""Least share of the largest variance that an axis is given."""
AXIS_STEPS = 31
"""Steps from 0 to 1 in which the axes are kept: with 127 no other pictures are told apart."""

PICTURE = {"mean": "<f2", "deviations": "<f2", "axes": "i1"}
OLD_PICTURE = {"mean": "<f4", "variances": "<f4", "axes": "i1"}
"""The arrays of a picture's description."""


def fit(inputs: Array, state: PreprocessingState) -> dict[str, Any] | None:
    """The description of the train inputs (N, ...) as plain JSON values, or None for inputs that have no score.

    `state` is the preprocessing state; the kind of its vocabulary says what a token number means.
    """
    sample = inputs[:: max(1, -(-len(inputs) // FIT_ROWS))]
    if inputs.ndim == 4:
        return _fit_picture(sample)
    if inputs.ndim == 2 and np.issubdtype(inputs.dtype, np.floating):
        return _fit_ranges(sample)
    if inputs.ndim == 2 and np.issubdtype(inputs.dtype, np.integer):
        kind = state.get("vocabulary", {}).get("kind")
        return {"kind": "unknown_tokens"} if kind in ("words", "subwords") else {"kind": "known_tokens"} if kind else None
    return None


def score(inputs: Array, fitted: Mapping[str, Any]) -> Floats:
    """How unusual each input is, (N,), larger is more unusual; raises `ValueError` for a description of another kind."""
    kind = fitted["kind"]
    if kind == "picture":
        return _picture_score(inputs, fitted)
    if kind == "ranges":
        return _range_score(inputs, fitted)
    present = np.asarray(inputs != 0).sum(1)
    if kind == "unknown_tokens":
        shares: Floats = np.asarray(inputs == 1).sum(1) / np.maximum(present, 1) + (present == 0)
        return shares
    if kind == "known_tokens":
        lack: Floats = 1 / (1.0 + present)
        return lack
    raise ValueError(f"a score of inputs of kind {kind!r}")


def average_pool(inputs: Array, side: int) -> Floats:
    """Pictures (N, C, H, W) as the averages of `side` x `side` nearly equal parts of each channel, (N, C * side * side)."""
    _, channels, height, width = inputs.shape
    rows, columns = (np.arange(side) * length // side for length in (height, width))
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    blocks = []
    size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // (channels * height * width)))
    for at in range(0, max(1, len(inputs)), size):
        block = np.asarray(inputs[at : at + size], np.float64)
        sums = np.add.reduceat(np.add.reduceat(block, rows, axis=2), columns, axis=3)
        blocks.append((sums / counts).reshape(len(block), channels * side * side))
        file_backed.release_pages()
    return np.concatenate(blocks)


def _fit_picture(inputs: Array) -> dict[str, Any]:
    """Probabilistic principal components (Tipping and Bishop, JRSS B 61, 1999) of the averages of pictures (N, C, H, W)."""
    side = max(1, min(int((FEATURES / inputs.shape[1]) ** 0.5), *inputs.shape[2:]))
    values = average_pool(inputs, side)
    mean = values.mean(0)
    variances, axes = np.linalg.eigh(np.cov(values - mean, rowvar=False, ddof=0).reshape(len(mean), len(mean)))
    rank = min(RANK, len(mean) - 1)
    order = np.argsort(-variances, kind="stable")
    least = max(float(variances.max()), 1.0) * LEAST_VARIANCE
    kept = np.maximum(variances[order[:rank]], least)
    rest = max(float(variances[order[rank:]].mean()), least)
    main = axes[:, order[:rank]].T
    largest = main[np.arange(rank), np.abs(main).argmax(1)] if rank else np.zeros(0)
    main = main * np.where(largest < 0, -1.0, 1.0)[:, None]
    return {
        "kind": "picture",
        "side": side,
        "mean": _compress(mean.astype("<f2")),
        "deviations": _compress(np.sqrt(kept).astype("<f2")),
        "rest": float(f"{rest:.6g}"),
        "axes": _compress(np.rint(main * AXIS_STEPS).astype("i1")),
    }


def _picture_score(inputs: Array, fitted: Mapping[str, Any]) -> Floats:
    """The squared Mahalanobis distance from the low-rank Gaussian; also by the description in files of version 0.4 and before."""
    if "variances" in fitted:
        mean, variances, flat = (_unpack(fitted[name], dtype) for name, dtype in OLD_PICTURE.items())
    else:
        mean, deviations, flat = (_decompress(fitted[name], dtype) for name, dtype in PICTURE.items())
        variances = deviations**2
    axes, _ = np.linalg.qr(flat.reshape(len(variances), len(mean)).T)
    values = average_pool(inputs, int(fitted["side"])) - mean
    along = values @ axes
    outside = np.maximum((values**2).sum(1) - (along**2).sum(1), 0)
    distance: Floats = (along**2 / variances).sum(1) + outside / float(fitted["rest"])
    return distance


def _fit_ranges(inputs: Array) -> dict[str, Any]:
    """The least and largest finite value of each column of a table (N, F), and whether values are missing in it."""
    values = np.asarray(inputs, np.float32)
    finite = np.isfinite(values)
    low, high = np.where(finite, values, np.inf).min(0), np.where(finite, values, -np.inf).max(0)
    missing = (~finite).any(0).astype("u1")
    return {"kind": "ranges", "low": _pack(low.astype("<f4")), "high": _pack(high.astype("<f4")), "missing": _pack(missing)}


def _range_score(inputs: Array, fitted: Mapping[str, Any]) -> Floats:
    """The share of the columns whose value is outside of the range, or missing where none was."""
    values = np.asarray(inputs, np.float32)
    low, high = _unpack(fitted["low"], "<f4"), _unpack(fitted["high"], "<f4")
    inside = np.where(np.isfinite(values), (values >= low) & (values <= high), _unpack(fitted["missing"], "u1") > 0)
    share: Floats = 1.0 - inside.mean(1)
    return share


def _compress(values: NDArray[Any]) -> str:
    """The bytes of an array, deflated and in base 85."""
    return b85encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 9)).decode()


def _decompress(text: str, dtype: str) -> Floats:
    """Raises `ValueError` for a damaged text."""
    try:
        content = zlib.decompress(b85decode(text))
    except zlib.error as error:
        raise ValueError(f"a damaged array: {error}") from None
    return np.frombuffer(content, dtype).astype(np.float64)


def _pack(values: NDArray[Any]) -> str:
    """The bytes of an array in base64."""
    return b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _unpack(text: str, dtype: str) -> Floats:
    return np.frombuffer(b64decode(text), dtype).astype(np.float64)
