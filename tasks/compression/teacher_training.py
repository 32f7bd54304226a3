"""A network that knows more teaches one that is smaller: what it answers counts beside the truth."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tasks.training import interfaces, trainer

if TYPE_CHECKING:
    from tasks.core.compression import CompressionContext
    from tasks.core.problem import Array, Problem
    from tasks.core.settings import Training


def taught(
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
    """`network`, fitted as its use case fits, but `teacher_share` of the loss is to answer as `teacher` does.

    `effort` multiplies the use case's epochs and `learning_rate_share` its learning rate. The weights that do best on the
    validation rows are kept. `checkpoint` names a folder on the bench, from which a killed fit goes on.
    """
    case, training = context.case, context.case.training
    fitted = trainer.fit(
        network,
        context.inputs,
        context.targets,
        objective=objective(context.problem, case.training, teacher, teacher_share, temperature),
        training=replace(
            training,
            epochs=max(1, round(training.epochs * effort)),
            learning_rate=training.learning_rate * learning_rate_share,
        ),
        validation=(context.validation_inputs, context.validation_targets),
        monitor=_monitor(context.score),
        augmentation=case.batch_augmentation(),
        event_log=context.event_log,
        checkpoint=context.scratch / checkpoint,
    )
    return fitted.network


def objective(
    problem: Problem, training: Training, teacher: nn.Module, teacher_share: float, temperature: float
) -> interfaces.Objective:
    """The weighted sum of the problem's loss and its distillation loss; under evaluation the loss alone."""
    placed: dict[torch.device, nn.Module] = {}

    def call(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = network(inputs)
        loss = problem.loss(outputs, targets, training)
        if teacher_share == 0 or not torch.is_grad_enabled():
            return loss
        if inputs.device not in placed:
            layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
            placed[inputs.device] = deepcopy(teacher).eval().to(inputs.device, memory_format=layout)  # type: ignore[call-overload]
        with torch.no_grad():
            wanted = placed[inputs.device](inputs)
        return (1 - teacher_share) * loss + teacher_share * problem.distillation_loss(outputs, wanted, targets, temperature)

    return call


def _monitor(score: Callable[[Array], float]) -> interfaces.Monitor:
    return lambda outputs, targets: {"score": score(outputs)}
