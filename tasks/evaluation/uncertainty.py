"""Measure what a classifier's file promises of its uncertainty: coverage, set sizes and abstentions on each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.artifacts import Artifact
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics
from tasks.metrics import uncertainty

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.metrics.uncertainty import Reading


def measure_uncertainty(recipe: Artifact, case: UseCase, splits: Mapping[str, DataFrame]) -> dict[str, Any]:
    """As `uncertainty`, what the file `model.onnx` promises and what it keeps on the rows of each split; empty for a file
    without the entry in its metadata.
    """
    model = (recipe.open() / "model.onnx").read_bytes()
    metadata = onnx_model.read_metadata(onnx_model.from_bytes(model))
    entry = metadata.get(uncertainty.ENTRY)
    if not entry:
        return {}
    measured: dict[str, Any] = {}
    for split, rows in splits.items():
        inputs, targets = case.encode(rows, metadata["learnt"])
        reading = uncertainty.read(onnx_model.predict(model, inputs), inputs, entry)
        measured[split] = summary(reading, np.asarray(targets, np.int64))
    promised = {
        "temperature": entry["temperature"],
        "coverage": entry["conformal"]["coverage"],
        "scores": sorted(entry["out_of_distribution"]["scores"]),
    }
    return {"uncertainty": {**promised, "splits": measured}}


def summary(reading: Reading, targets: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Any]:
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
