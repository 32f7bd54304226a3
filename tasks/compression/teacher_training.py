"""Knowledge distillation: the loss mixes the targets with the teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tasks.training import interfaces, trainer

if TYPE_CHECKING:
    from tasks.core.compression import CompressionContext
    from tasks.core.problem import Array, Problem
    from tasks.core.settings import Training


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a student learns from: inputs (N, ...), targets (N, ...), and how its objective reads them."""

    inputs: Array
    targets: Array
    objective: Callable[[float, float], interfaces.Objective]
    """The objective with a weight of the distillation loss, and a temperature."""
    notes: dict[str, Any] = field(default_factory=dict)


def live_lesson(teacher: nn.Module, context: CompressionContext) -> Lesson:
    """The train rows, whose batches the network `teacher` labels while the student learns."""
    problem, training = context.problem, context.case.training

    def objective(teacher_share: float, temperature: float) -> interfaces.Objective:
        return distillation_objective(problem, training, teacher, teacher_share, temperature)

    return Lesson(context.inputs, context.targets, objective)


def fit_with_teacher(
    network: nn.Module,
    teacher: nn.Module,
    context: CompressionContext,
    *,
    effort: float,
    learning_rate_share: float,
    teacher_share: float,
    temperature: float,
    checkpoint: str,
) -> nn.Module:
    """`fit_lesson` with the train rows and the network `teacher`."""
    return fit_lesson(
        network,
        live_lesson(teacher, context),
        context,
        effort=effort,
        learning_rate_share=learning_rate_share,
        teacher_share=teacher_share,
        temperature=temperature,
        checkpoint=checkpoint,
    )


def fit_lesson(
    network: nn.Module,
    lesson: Lesson,
    context: CompressionContext,
    *,
    effort: float,
    learning_rate_share: float,
    teacher_share: float,
    temperature: float,
    checkpoint: str,
) -> nn.Module:
    """`network` fitted with the use case's training settings and a distillation loss, on the CPU in evaluation mode.

    `teacher_share` is the weight of the distillation loss. `effort` multiplies the use case's epochs, `learning_rate_share`
    its learning rate. The epoch with the best validation score is kept. `checkpoint` names the folder in the context's
    scratch from which a killed fit resumes.
    """
    case, training = context.case, context.case.training
    fitted = trainer.fit(
        network,
        lesson.inputs,
        lesson.targets,
        objective=lesson.objective(teacher_share, temperature),
        training=replace(
            training,
            epochs=max(1, round(training.epochs * effort)),
            learning_rate=training.learning_rate * learning_rate_share,
        ),
        validation=(context.validation_inputs, context.validation_targets),
        monitor=_monitor(context.score),
        augmentation=case.batch_augmentation(),
        input_range=case.input_range(context.state),
        event_log=context.event_log,
        checkpoint=context.scratch / checkpoint,
    )
    return fitted.network


def distillation_objective(
    problem: Problem, training: Training, teacher: nn.Module, teacher_share: float, temperature: float
) -> interfaces.Objective:
    """The weighted sum of the problem's loss and its distillation loss; under evaluation the loss alone."""
    teachers: dict[torch.device, nn.Module] = {}

    def call(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = network(inputs)
        loss = problem.loss(outputs, targets, training)
        if teacher_share == 0 or not torch.is_grad_enabled():
            return loss
        if inputs.device not in teachers:
            layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
            teachers[inputs.device] = deepcopy(teacher).eval().to(inputs.device, memory_format=layout)  # type: ignore[call-overload]
        with torch.no_grad():
            teacher_outputs = teachers[inputs.device](inputs)
        distillation_loss = problem.distillation_loss(outputs, teacher_outputs, targets, temperature)
        return (1 - teacher_share) * loss + teacher_share * distillation_loss

    return call


def _monitor(score: Callable[[Array], float]) -> interfaces.Monitor:
    return lambda outputs, targets: {"score": score(outputs)}
