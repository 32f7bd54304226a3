"""When a classifier should not answer: prediction sets, an out-of-distribution score, and abstention.

The entry `uncertainty` of a model's metadata says how its outputs are to be read; `tasks.metrics.calibration` fits it. A file
without the entry always answers. Legend: N rows, K classes, M ensemble members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.core.errors import UserError
from tasks.metrics import input_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

ENTRY = "uncertainty"
"""The name of the entry in the metadata, after the prefix `bonsai.`."""
OUT_OF_DISTRIBUTION, UNDECIDED = "out_of_distribution", "undecided"
"""The reasons of an abstention; an answer has the reason "" (empty)."""
OutputKind = Literal["classes", "event"]
"""What outputs are: logits of `classes`, (N, K) or (N, M, K), or log-odds of an `event`, (N,) or (N, M)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What outputs say, and where they say nothing."""

    probabilities: Floats
    """(N, K)."""
    conformal_sets: Bools
    """(N, K): the split-conformal prediction sets. They hold the true class of the promised share of rows; some are empty."""
    prediction_sets: Bools
    """(N, K): the same sets, an empty one with the most probable class in it."""
    reasons: list[str]
    """Why the model abstains from each row: `OUT_OF_DISTRIBUTION`, `UNDECIDED`, or "" where it answers."""

    @property
    def abstained(self) -> Bools:
        """(N,): whether the model abstains."""
        return np.array([bool(reason) for reason in self.reasons], np.bool_)


def read(outputs: Array, inputs: Array, entry: Mapping[str, Any] | None) -> Reading:
    """Read outputs (N, ...) for inputs (N, ...) by the metadata's `entry`, which is None or empty in a file without it.

    The model abstains from a row that is out of distribution, or whose prediction set does not hold exactly one class. Raises
    a `UserError` for an entry that cannot be read.
    """
    if not entry:
        kind: OutputKind = "event" if outputs.ndim < 2 or outputs.shape[-1] == 1 else "classes"
        probabilities = probabilities_of(outputs, kind)
        likeliest = _likeliest(probabilities)
        return Reading(probabilities, likeliest, likeliest, [""] * len(outputs))
    try:
        probabilities = probabilities_of(outputs, entry["outputs"])
        sets = 1 - probabilities <= float(entry["conformal"]["threshold"])
        unlike = out_of_distribution(outputs, inputs, entry)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"the file's metadata has an unreadable entry bonsai.{ENTRY} ({error}); compress the model again"
        ) from None
    filled = np.where(sets.any(1, keepdims=True), sets, _likeliest(probabilities))
    reasons = np.where(unlike, OUT_OF_DISTRIBUTION, np.where(filled.sum(1) != 1, UNDECIDED, ""))
    return Reading(probabilities, sets, filled, [str(reason) for reason in reasons])


def out_of_distribution(outputs: Array, inputs: Array, entry: Mapping[str, Any]) -> Bools:
    """Whether a score of each row (N,) exceeds its threshold. A score that is no number counts as exceeding it."""
    exceeded = np.zeros(len(outputs), np.bool_)
    for name, fitted in entry["out_of_distribution"]["scores"].items():
        score = energy(outputs) if name == "energy" else input_scores.score(inputs, fitted)
        exceeded |= ~(score <= float(fitted["threshold"]))
    return exceeded


def class_logits(outputs: Array, kind: OutputKind) -> Floats:
    """Logits (N, K), averaged over ensemble members; the log-odds z of an event are the logits (0, z)."""
    values = np.asarray(outputs, np.float64)
    if kind == "event":
        odds = values.reshape(len(values), -1).mean(1)
        return np.stack([np.zeros_like(odds), odds], 1)
    return values.mean(1) if values.ndim == 3 else values


def probabilities_of(outputs: Array, kind: OutputKind) -> Floats:
    """Outputs (N, ...) as probabilities (N, K); those of an event are (without it, with it)."""
    logits = class_logits(outputs, kind)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities


def energy(outputs: Array) -> Floats:
    """The energy of logits of classes, -log sum exp, (N,): high where no class is likely (Liu et al. 2020, arXiv 2010.03759)."""
    logits = class_logits(outputs, "classes")
    highest = logits.max(1)
    lowered: Floats = -(highest + np.log(np.exp(logits - highest[:, None]).sum(1)))
    return lowered


def _likeliest(probabilities: Floats) -> Bools:
    """(N, K): True at the most probable class."""
    chosen: Bools = np.arange(probabilities.shape[1])[None] == probabilities.argmax(1)[:, None]
    return chosen
