"""Quantization-aware training: fine-tune the network with its weights on a grid of 4 or 8 bits, taught by the dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Qat:
    """Weights that lie on a grid with learned step sizes, so that `quantize` and `int4` store them without a further loss.

    S. Esser et al. 2020, "Learned step size quantization", arXiv 1902.08153; per output channel. The network stays a float
    network whose weights take few values: put `quantize` after it, and with 4 bits `int4` after that.
    """

    changes: ClassVar[Literal["network"]] = "network"

    bits: Annotated[int, Field(ge=2, le=8)] = 4
    """Bits of a weight."""
    edge_bits: Annotated[int, Field(ge=2, le=8)] = 8
    """Bits of a weight in the first and the last layer, and in layers with fewer weights than `min_values`."""
    min_values: Annotated[int, Field(ge=1)] = 300
    effort: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Epochs, as a multiple of the use case's."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 0.2
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Weight of the distillation loss from the dense network; the rest is the weight of the loss against the targets."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Softmax temperature of the distillation loss; higher is softer."""

    variants: Annotated[int, Field(ge=0, le=64)] = 0
    """Augmented variants of each train row, whose answers of the teacher are computed once, before the fit; 0 asks it at every
    step, for ever new variants. An epoch then counts for one variant of each row."""
    passes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Least epochs over all variants, where the teacher answered them once: there they are cheap."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from copy import deepcopy

        from tasks.compression import learned_steps, teacher_training

        if hasattr(network, "onnx_bytes"):
            raise UserError("an ONNX file has no weights to train; 'distill' it into a network first, or leave 'qat' out")
        student = deepcopy(network)
        layers = learned_steps.attach(student, self.bits, self.edge_bits, self.min_values)
        if not layers:
            name = type(network).__name__
            context.event_log.log(f"{name} has no inner layer of {self.min_values} weights or more: it stays as it is", "warning")
            context.notes["qat"] = {"bits": self.bits, "layers": []}
            return network
        fitted = teacher_training.fit_with_teacher(
            student,
            context.dense or network,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint="qat",
            variants=self.variants,
            passes=self.passes,
        )
        context.notes["qat"] = {"bits": self.bits, "layers": layers}
        return learned_steps.bake(fitted)
