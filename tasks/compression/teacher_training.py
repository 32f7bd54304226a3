"""Knowledge distillation: the loss mixes the targets with the teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tasks.compression import onnx_export
from tasks.core import onnx_model
from tasks.training import interfaces, trainer
from tasks.training.runtime import precision

if TYPE_CHECKING:
    from tasks.core.compression import CompressionContext
    from tasks.core.problem import Array, Problem
    from tasks.core.settings import Training


NO_CLASS = -1
"""The class of a row without a label."""
POOL_BYTES = 256 * 2**20
"""The most bytes of inputs whose answers are computed once."""
BLOCK_ROWS = 512


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a student learns from: inputs (N, ...), targets (N, ...), and how its objective reads them."""

    inputs: Array
    targets: Array
    objective: Callable[[float, float], interfaces.Objective]
    """The objective with a weight of the distillation loss, and a temperature."""
    notes: dict[str, Any] = field(default_factory=dict)
    variants: int = 0
    """How many augmented variants of each train row the inputs hold; 0 if they are the rows themselves, to be augmented."""


def teach(teacher: nn.Module, context: CompressionContext, variants: int = 0) -> Lesson:
    """What the network `teacher` teaches: answers that are computed once, or at every step if `variants` is 0 or they cannot be.

    They can be where a row's target is one class and the inputs of all variants fit in `POOL_BYTES`.
    """
    classes = context.targets.ndim == 1 and np.issubdtype(context.targets.dtype, np.integer)
    if not context.case.batch_augmentation():
        variants = min(variants, 1)
    variants = min(variants, POOL_BYTES // max(1, context.inputs.nbytes))
    return answered_lesson(teacher, context, variants) if variants and classes else live_lesson(teacher, context)


def answered_lesson(teacher: nn.Module, context: CompressionContext, variants: int) -> Lesson:
    """`variants` augmented variants of each train row with the teacher's logits, which are computed once for all steps."""
    key = f"{id(teacher)} {variants}"
    if key in context.answers:
        answered: Lesson = context.answers[key]
        return answered
    case, training = context.case, context.case.training
    augmentation, rows = case.batch_augmentation(), torch.from_numpy(np.ascontiguousarray(context.inputs))
    sample = rows[: min(len(rows), training.batch_size)]
    sample = augmentation(sample, torch.full((len(sample), interfaces.UNIFORMS), 0.5)) if augmentation else sample
    answer = _answering(teacher, sample, context)
    inputs, logits = [], []
    generator = torch.Generator().manual_seed(training.seed)
    for number in range(variants):
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            if augmentation:
                block = augmentation(block, torch.rand(len(block), interfaces.UNIFORMS, generator=generator))
            block = block if block.dtype == rows.dtype else block.round().to(rows.dtype)
            inputs.append(block)
            logits.append(torch.from_numpy(answer(block)))
        context.event_log.progress(number + 1, variants, "variants answered by the teacher")
    classes = torch.from_numpy(context.targets).repeat(variants)
    targets = torch.cat([classes[:, None].float(), torch.cat(logits)], 1).numpy()

    def objective(teacher_share: float, temperature: float) -> interfaces.Objective:
        return cached_objective(context.problem, training, teacher_share, temperature)

    lesson = Lesson(torch.cat(inputs).numpy(), targets, objective, {"variants": variants}, variants)
    context.answers[key] = lesson
    return lesson


def _answering(teacher: nn.Module, sample: Tensor, context: CompressionContext) -> Callable[[Tensor], Array]:
    """The function that answers a block (B, ...) like `sample` by the logits (B, K) of the network `teacher`.

    A feed-forward network answers in float32. On a CPU ONNX Runtime does it, in less than half the time that torch needs.
    """
    training, recorded = context.case.training, onnx_export.is_feed_forward(teacher)
    plan = precision.choose_plan(deepcopy(teacher), sample, replace(training, precision="fp32") if recorded else training)
    if recorded and plan.device == "cpu":
        content = onnx_export.to_onnx(teacher, context.inputs, {}, context.case.name)
        session = onnx_model.create_session(content, training.threads)
        return lambda block: session.run(None, {"inputs": block.numpy()})[0]
    network = precision.prepare_network(deepcopy(teacher), plan).eval()
    return lambda block: trainer.predict(network, block, plan)


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
    variants: int = 0,
    passes: int = 0,
) -> nn.Module:
    """`fit_lesson` with the train rows and the network `teacher`, whose answers for `variants` of each row are computed once."""
    return fit_lesson(
        network,
        teach(teacher, context, variants),
        context,
        effort=effort,
        learning_rate_share=learning_rate_share,
        teacher_share=teacher_share,
        temperature=temperature,
        checkpoint=checkpoint,
        passes=passes,
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
    passes: int = 0,
) -> nn.Module:
    """`network` fitted with the use case's training settings and a distillation loss, on the CPU in evaluation mode.

    `teacher_share` is the weight of the distillation loss. `effort` multiplies the use case's epochs, of which there are at
    least `passes` over all variants where the lesson holds several. `learning_rate_share` multiplies its learning rate. The
    latest epoch within a standard error of the best validation score is kept. `checkpoint` names the folder in the context's
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
            epochs=max(1, round(training.epochs * effort / max(1, lesson.variants)), passes if lesson.variants > 1 else 0),
            learning_rate=training.learning_rate * learning_rate_share,
        ),
        validation=(context.validation_inputs, context.validation_targets),
        monitor=_monitor(context.score),
        standard_error=_standard_error(context),
        augmentation=None if lesson.variants else case.batch_augmentation(),
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


def cached_objective(problem: Problem, training: Training, teacher_share: float, temperature: float) -> interfaces.Objective:
    """The weighted sum of the distillation loss of all rows and the problem's loss of those with a class.

    Validation rows have targets (B,), the classes; their objective is the problem's loss alone.
    """

    def call(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = network(inputs)
        if targets.ndim == 1:
            return problem.loss(outputs, targets, training)
        classes, teacher_outputs = targets[:, 0].long(), targets[:, 1:]
        loss = teacher_share * problem.distillation_loss(outputs, teacher_outputs, classes, temperature)
        labelled = classes != NO_CLASS
        count = int(labelled.sum())
        if count and teacher_share < 1:
            labelled_loss = problem.loss(outputs[labelled], classes[labelled], training)
            loss = loss + (1 - teacher_share) * count / len(classes) * labelled_loss
        return loss

    return call


def _monitor(score: Callable[[Array], float]) -> interfaces.Monitor:
    return lambda outputs, targets: {"score": score(outputs)}


def _standard_error(context: CompressionContext) -> interfaces.StandardError | None:
    """The function that computes the standard error of the score from its values per row; None without the validation rows."""
    tables = list(context.read_validation())
    if not tables:
        return None
    rows, problem = pd.concat(tables, ignore_index=True), context.problem

    def error(outputs: Array) -> float:
        values = np.asarray(problem.per_row_metric(problem.decode(rows, outputs, context.state)), np.float64)
        return float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0

    return error
