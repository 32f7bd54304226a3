"""The training budget of data that no setting was tuned for, in steps instead of epochs, and whether it was enough.

A few hundred rows are a handful of steps an epoch, and the epochs that suit tens of thousands of rows leave a network at its
start. So a person's own data have a floor and a ceiling of steps, and the number of epochs follows from them.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.core.problem import PreprocessingState
    from tasks.core.settings import Training
    from tasks.core.use_case import UseCase

    Case = TypeVar("Case", bound=UseCase)

BASE_STEPS, STEPS_PER_CLASS, MOST_BASE_STEPS = 200, 10, 1000
"""The floor: `BASE_STEPS`, and `STEPS_PER_CLASS` more for each class, at most `MOST_BASE_STEPS`."""
MAX_EPOCHS = 60
"""The floor never asks for more epochs than this: a few rows are not learnt better by heart."""
MAX_STEPS = 20_000
OVERFITTED_RISE = 0.2
"""A validation loss that ends this share above its lowest one: the last epochs fitted what validation rows do not share."""
UNDERFITTED_FALL = 0.1
"""A validation loss that falls by this share over the last quarter of the epochs: it would have fallen further."""


def within_budget(case: Case, rows: int, state: PreprocessingState) -> tuple[Case, str]:
    """The use case with the training that suits `rows` train rows, and a sentence on what changed; empty if nothing did.

    The packaged data keep the settings that were tuned for them.
    """
    if case.fetch.source == "packaged":
        return case, ""
    training = case.suited_training() if case.fetch.source == "path" else case.training
    sentences = suited_sentences(case.training, training)
    epochs = epochs_within(training, rows, len(state.get("classes") or state.get("tags") or ()))
    if epochs != training.epochs:
        steps = epochs * steps_of_epoch(training, rows)
        why = "few" if epochs > training.epochs else "many"
        sentences.append(f"{epochs} epochs, {steps:,} steps, instead of {training.epochs} epochs: {rows:,} train rows are {why}")
    if not sentences:
        return case, ""
    return replace(case, training=replace(training, epochs=epochs)), "; ".join(sentences)


def suited_sentences(configured: Training, suited: Training) -> list[str]:
    """What `suited_training` of a use case changed, in one sentence; no sentence if it changed nothing."""
    pairs = [(field.name, getattr(configured, field.name), getattr(suited, field.name)) for field in fields(configured)]
    changes = [f"{name} {after:g}, not {before:g}" for name, before, after in pairs if before != after]
    return [f"settings that suit these rows: {'; '.join(changes)}"] if changes else []


def epochs_within(training: Training, rows: int, classes: int) -> int:
    """The epochs of `training` within the floor and the ceiling of steps."""
    steps = steps_of_epoch(training, rows)
    floor = training.min_steps or min(MOST_BASE_STEPS, BASE_STEPS + STEPS_PER_CLASS * classes)
    most = math.ceil(floor / steps) if training.min_steps else min(MAX_EPOCHS, math.ceil(floor / steps))
    ceiling = max(1, (training.max_steps or MAX_STEPS) // steps)
    return min(max(training.epochs, most), ceiling)


def steps_of_epoch(training: Training, rows: int) -> int:
    """Optimizer steps of one pass over the rows."""
    return math.ceil(math.ceil(rows / training.batch_size) / training.accumulate)


def diagnose(curves: Sequence[Mapping[str, float]], best_epoch: int) -> str:
    """A sentence for the model card; empty for a sound fit, or without validation."""
    losses = [point["validation_loss"] for point in curves if "validation_loss" in point]
    if len(losses) < 3:
        return ""
    lowest = min(losses)
    kept = curves[best_epoch - 1]
    if losses[-1] > lowest + OVERFITTED_RISE * abs(lowest):
        return (
            f"Overfitted: validation loss fell to {lowest:.3f} in epoch {losses.index(lowest) + 1} and rose to {losses[-1]:.3f}, "
            f"while training loss fell to {curves[-1]['loss']:.3f}; kept is epoch {best_epoch} (validation loss "
            f"{kept['validation_loss']:.3f}). More rows, a smaller network or more weight_decay would help."
        )
    quarter = losses[-1 - max(1, len(losses) // 4)]
    if losses[-1] == lowest and quarter - losses[-1] > UNDERFITTED_FALL * abs(quarter):
        return (
            f"Underfitted: validation loss still fell when training ended ({quarter:.3f} to {losses[-1]:.3f} over the last "
            "quarter of the epochs). More epochs would help (training.epochs, training.min_steps)."
        )
    return ""
