"""Measure what a classifier's file promises of its uncertainty: coverage, set sizes and abstentions on each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics
from tasks.metrics import uncertainty
from tasks.metrics.uncertainty import Reading

if TYPE_CHECKING:
    from pandas import DataFrame

    Targets = np.ndarray[Any, np.dtype[np.int64]]

ENCODED_ROWS = 1024
"""Rows that are encoded at a time: counts of terms are as wide as the longest text among them."""


def measure_uncertainty(model: bytes, case: UseCase, splits: Mapping[str, DataFrame]) -> dict[str, Any]:
    """As `uncertainty`, what an ONNX file promises and what it keeps on the rows of each split; empty for a file without the
    entry in its metadata.
    """
    entry = onnx_model.read_metadata(onnx_model.from_bytes(model)).get(uncertainty.ENTRY)
    if not entry:
        return {}
    promised = {
        "temperature": entry["temperature"],
        "coverage": entry["conformal"]["coverage"],
        "scores": sorted(entry["out_of_distribution"]["scores"]),
    }
    measured = {split: summary(*read_rows(model, case, rows)) for split, rows in splits.items()}
    return {"uncertainty": {**promised, "splits": measured}}


def read_rows(model: bytes, case: UseCase, rows: DataFrame) -> tuple[Reading, Targets]:
    """What the file says of the rows, encoded block by block, and their class indices (N,)."""
    metadata = onnx_model.read_metadata(onnx_model.from_bytes(model))
    readings, targets = [], []
    for start in range(0, max(1, len(rows)), ENCODED_ROWS):
        inputs, indices = case.encode(rows.iloc[start : start + ENCODED_ROWS].reset_index(drop=True), metadata["learnt"])
        readings.append(uncertainty.read(onnx_model.predict(model, inputs), inputs, metadata[uncertainty.ENTRY]))
        targets.append(np.asarray(indices, np.int64))
    reading = Reading(
        probabilities=np.concatenate([each.probabilities for each in readings]),
        conformal_sets=np.concatenate([each.conformal_sets for each in readings]),
        prediction_sets=np.concatenate([each.prediction_sets for each in readings]),
        reasons=[reason for each in readings for reason in each.reasons],
    )
    return reading, np.concatenate(targets)


def summary(reading: Reading, targets: Targets) -> dict[str, Any]:
    """Coverage with its interval, sizes of prediction sets, abstentions by reason, and accuracy where it answers; plain JSON.

    Conformal sets may be empty; a prediction set holds at least the most probable class. `targets` are class indices (N,).
    """
    rows = np.arange(len(targets))
    covered = reading.conformal_sets[rows, targets].astype(np.float64)
    right = reading.probabilities.argmax(1) == targets
    reasons, answered = Counter(reading.reasons), ~reading.abstained
    sizes = Counter(reading.prediction_sets.sum(1).tolist())
    return {
        "rows": len(targets),
        "coverage": statistics.mean_interval(covered).as_dict(),
        "prediction_set_coverage": float(reading.prediction_sets[rows, targets].mean()),
        "mean_set_size": float(reading.prediction_sets.sum(1).mean()),
        "set_sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "empty_conformal_sets": float((~reading.conformal_sets.any(1)).mean()),
        "abstained": float(reading.abstained.mean()),
        "abstained_for": {
            reason: reasons[reason] / len(targets) for reason in (uncertainty.OUT_OF_DISTRIBUTION, uncertainty.UNDECIDED)
        },
        "likeliest_right": float(right.mean()),
        "likeliest_right_where_answered": float(right[answered].mean()) if answered.any() else None,
    }
