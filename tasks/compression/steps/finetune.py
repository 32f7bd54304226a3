"""Fine-tune the network as the steps before it left it, taught by the dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Finetune:
    """More epochs for a network that is there already: to find out what training alone brings, or after a step without any."""

    changes: ClassVar[Literal["network"]] = "network"

    effort: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Epochs, as a multiple of the use case's."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 0.3
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Weight of the distillation loss from the dense network; the rest is the weight of the loss against the targets."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Softmax temperature of the distillation loss; higher is softer."""
    variants: Annotated[int, Field(ge=0, le=64)] = 0
    """Augmented variants of each train row, whose answers of the teacher are computed once; 0 asks it at every step."""
    passes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Least epochs over all variants, where the teacher answered them once: there they are cheap."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from tasks.compression import teacher_training

        if hasattr(network, "onnx_bytes"):
            raise UserError("an ONNX file has no weights to train; 'distill' it into a network first, or leave 'finetune' out")
        return teacher_training.fit_with_teacher(
            network,
            context.dense or network,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint="finetune",
            variants=self.variants,
            passes=self.passes,
        )
