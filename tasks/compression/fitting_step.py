"""What steps share that train a network on after the steps before them, taught by the dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class FittingStep:
    """The parameters of a fit with the dense network as teacher. A step adds its own by subclassing."""

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
    """Augmented variants of each train row, whose answers of the teacher are computed once, before the fit; 0 asks it at every
    step, for ever new variants. An epoch then counts for one variant of each row."""
    passes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Least epochs over all variants, where the teacher answered them once: there they are cheap."""

    @property
    def step_name(self) -> str:
        """The name of the step in params.yaml."""
        return type(self).__module__.rpartition(".")[2]

    def check_trainable(self, network: nn.Module) -> None:
        """Raise a `UserError` for a network without weights: an exported file."""
        if hasattr(network, "onnx_bytes"):
            raise UserError(
                f"an ONNX file has no weights to train; 'distill' it into a network first, or leave {self.step_name!r} out"
            )

    def fit(self, student: nn.Module, teacher: nn.Module, context: CompressionContext) -> nn.Module:
        """A fitted copy of `student`, taught by the dense network or, where the step is called by itself, by `teacher`."""
        from tasks.compression import teacher_training

        return teacher_training.fit_with_teacher(
            student,
            context.dense or teacher,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint=self.step_name,
            variants=self.variants,
            passes=self.passes,
        )
