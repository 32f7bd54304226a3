"""Teaches the last blocks of a student whose first blocks are its teacher's own.

The other blocks may be narrower. What the shared blocks give, and what the teacher says of it, is computed once for each variant
of each train row; then only the student's last blocks are trained. A few hundred photos teach a student in minutes, and every
target belongs to the very variant that the student sees (L. Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", 2021, arXiv 2106.05237).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tasks.compression.teacher_training import cached_objective
from tasks.training import trainer
from tasks.training.runtime import precision
from tasks.training.runtime.determinism import deterministic
from tasks.training.transfer import features, modes

if TYPE_CHECKING:
    from tasks.core.compression import CompressionContext
    from tasks.core.settings import PretrainedModel
    from tasks.core.use_case import Array


NARROWING_ROWS = 128
"""Train rows by which the channels of the student are chosen."""


def fit(
    student: nn.Module,
    teacher: nn.Module,
    model: PretrainedModel,
    context: CompressionContext,
    *,
    effort: float,
    learning_rate_share: float,
    teacher_share: float,
    temperature: float,
    checkpoint: str,
) -> nn.Module:
    """`student` with its last blocks fitted, on the CPU in evaluation mode.

    Both networks have `layers()`, and the student's first `shared_layers()` are equal to the teacher's. The arguments are those
    of `teacher_training.fit_lesson`; an epoch passes every variant of every row.
    """
    case, training, scratch = context.case, context.case.training, context.scratch / checkpoint
    layers, cut = student.layers(), student.shared_layers()  # type: ignore[operator]
    lower, upper = nn.Sequential(*layers[:cut]), modes.FineTuned(modes.Float(), *layers[cut:])
    rest = nn.Sequential(modes.Float(), *teacher.layers()[cut:])  # type: ignore[operator]
    augmentation = case.batch_augmentation()
    torch.set_num_threads(training.threads)
    with deterministic():
        sample = torch.from_numpy(np.ascontiguousarray(context.inputs[: training.batch_size]))
        plan = precision.choose_plan(teacher, sample, training, forward_only=True)
        context.event_log.log(f"computes the shared blocks and the teacher on {plan.device} in {plan.precision}: {plan.reason}")
        compute = partial(features.compute, plan=plan, folder=scratch / "features", event_log=context.event_log)
        rows = compute(
            lower,
            context.inputs,
            variants=model.cached_variants if augmentation else 1,
            augmentation=augmentation,
            seed=training.seed,
        )
        held_out = compute(lower, context.validation_inputs)
        logits = compute(rest, rows)
    student.narrow(teacher, torch.from_numpy(rows[:NARROWING_ROWS].astype(np.float32)))  # type: ignore[operator]
    classes = np.tile(context.targets, len(rows) // len(context.targets))
    validation = held_out, context.validation_targets
    modes.fit_head(upper, (rows, classes), validation, balanced=training.balanced_sampling)
    start = context.score(trainer.predict(upper, held_out))
    upper.learning_rate_shares = modes.learning_rate_shares(upper, model.block_decay)  # type: ignore[assignment]
    fitted = trainer.fit(
        upper,
        rows,
        np.column_stack([classes, logits]).astype(np.float32),
        objective=cached_objective(context.problem, training, teacher_share, temperature),
        training=replace(
            training,
            epochs=max(1, round(training.epochs * effort)),
            learning_rate=training.learning_rate * learning_rate_share,
            balanced_sampling=False,
        ),
        validation=validation,
        monitor=_monitor(context),
        event_log=context.event_log,
        checkpoint=scratch / "fit",
    )
    if context.score(trainer.predict(fitted.network, held_out)) < start:
        context.event_log.log("no epoch reached the score of the student's first head, which is kept")
    else:
        upper.load_state_dict(fitted.network.state_dict())
    return student.eval()


def _monitor(context: CompressionContext) -> Any:
    def score(outputs: Array, _: Array) -> dict[str, float]:
        return {"score": context.score(outputs)}

    return score
