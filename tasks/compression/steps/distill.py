"""Knowledge distillation into a smaller network with fresh weights, from the dense network or from a pretrained one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.settings import PretrainedTeacher, Share, settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Distill:
    """A smaller student network, fitted from fresh weights to the targets and to the softened outputs of the network.

    G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015, arXiv 1503.02531.
    """

    changes: ClassVar[Literal["network"]] = "network"
    optional_settings: ClassVar[tuple[str, ...]] = ("architecture", "fields", "variants", "passes", "teacher", "pretrained")
    """Settings that a report leaves out while they have their default, so that reports without such a teacher stay equal."""

    width_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Width of the student, as a share of the dense widths; not used where `architecture` or `fields` are set."""
    architecture: str = ""
    """The student's architecture, a file of tasks/models/<use case> that reads the same inputs; empty for that of the network."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """Fields of the student that differ from its architecture's own, such as {widths: [16, 16, 32, 32], stem_kernel: 5}."""
    effort: Annotated[float, Field(gt=0, le=100)] = 1.5
    """Epochs, as a multiple of the use case's."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Weight of the distillation loss; the rest is the weight of the loss against the targets."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Softmax temperature of the distillation loss; higher is softer."""
    variants: Annotated[int, Field(ge=0, le=64)] = 0
    """Augmented variants of each train row, whose answers of the teacher are computed once, before the fit; 0 asks it at every
    step, for ever new variants. An epoch then counts for one variant of each row."""
    passes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Least epochs over all variants, where the teacher answered them once: there they are cheap."""

    teacher: Literal["dense", "pretrained"] = "dense"
    """`dense` learns from the network that is compressed, `pretrained` from a large network with knowledge of other data, which
    is fitted to the train rows first. Only a pretrained teacher labels the rows of fetch.unlabelled."""
    pretrained: PretrainedTeacher = Field(default_factory=PretrainedTeacher)
    """The pretrained teacher and its fit."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        import torch

        from tasks.compression import pretrained_teaching, shared_blocks, teacher_training

        how: dict[str, Any] = {
            "effort": self.effort,
            "learning_rate_share": self.learning_rate_share,
            "teacher_share": self.teacher_share,
            "temperature": self.temperature,
            "checkpoint": "distill",
        }
        with torch.random.fork_rng():
            torch.manual_seed(context.case.training.seed)
            named = bool(self.architecture or self.fields)
            student = self._named_student(context) if named else context.case.build_student(context.state, self.width_share)
        shares_blocks = not named and context.case.start_student(student, network)
        if self.teacher == "pretrained":
            lesson = pretrained_teaching.prepare_lesson(context, self.pretrained)
            context.notes["distill"] = lesson.notes
        elif shares_blocks and (model := context.case.transfer_learning()):
            return shared_blocks.fit(student, network, model, context, **how)
        else:
            lesson = teacher_training.teach(network, context, self.variants)
        return teacher_training.fit_lesson(student, lesson, context, **how, passes=self.passes)

    def _named_student(self, context: CompressionContext) -> nn.Module:
        """A network with fresh weights of `architecture`, with the values of `fields`."""
        from tasks.compression import students

        return students.build(context.case, context.state, self.architecture, self.fields)
