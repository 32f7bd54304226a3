"""Teach a smaller network from nothing: the truth and the dense network's answers, weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Distill:
    """A student network, fitted from fresh weights to the targets and to the given network's softened answers.

    G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015, arXiv 1503.02531.
    """

    changes: ClassVar[Literal["network"]] = "network"

    width_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How wide the student is, as a share of the dense widths."""
    effort: Annotated[float, Field(gt=0, le=100)] = 1.5
    """Epochs, as a multiple of the use case's."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Share of the loss that asks for the teacher's answers; the rest asks for the truth."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """How much the answers are softened before they are compared."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        import torch

        from tasks.compression import teacher_training

        with torch.random.fork_rng():
            torch.manual_seed(context.case.training.seed)
            student = context.case.build_student(context.state, self.width_share)
        return teacher_training.taught(
            student,
            network,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint="distill",
        )
