"""The interface of a problem of texts: its vocabulary, inputs, default network, student and answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.core.problem import Problem

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from tasks.core.problem import Array, PreprocessingState
    from tasks.use_cases.nlp.settings import TextModel


class TextProblem(Problem):
    """What the use case `nlp` needs of a problem besides the methods of `Problem`."""

    architecture: ClassVar[str]
    """The default network."""
    augmented: ClassVar[bool] = False
    """Whether augmentation may add noise to the texts."""
    labelled: ClassVar[bool] = True
    """Whether the targets are labels, and so stay right when the text is corrupted."""

    own_training: ClassVar[Mapping[str, Any]] = {}
    """Settings of training by name that suit the default network on texts of the user's own."""

    @abstractmethod
    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The vocabulary of the train rows and the meaning of the outputs.

        `classes` are the class names of the data set, in its order; empty if it has none.
        """

    @abstractmethod
    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as token numbers, int32 (N, L) or (N, L, F), 0 as padding, and int64 targets (N, ...)."""

    @abstractmethod
    def encode_texts(self, texts: Sequence[str], state: PreprocessingState) -> Array:
        """The inputs of `encode` for texts without targets."""

    @abstractmethod
    def answers(self, texts: Sequence[str], outputs: Array, state: PreprocessingState) -> list[dict[str, Any]]:
        """The network's outputs (N, ...) as one answer per text, plain JSON values."""

    def network_fields(self, architecture: str, state: PreprocessingState) -> dict[str, Any]:
        """What a network of this architecture has to know of its inputs besides their vocabulary's size; by default nothing."""
        return {}

    def student_network(
        self,
        architecture: str,
        teacher_fields: Callable[[], dict[str, Any]],
        state: PreprocessingState,
        width_share: float,
        model: TextModel,
    ) -> tuple[str, dict[str, Any]]:
        """The architecture and the sizes of a student.

        By default the architecture stays and the layers have `width_share` of the teacher's units, at least 4. Calling
        `teacher_fields` builds a network, which draws random numbers: a problem calls it only if it needs them.
        """
        fields = teacher_fields()
        return architecture, {name: max(4, round(fields[name] * width_share)) for name in ("width", "hidden")}

    def sample_outputs(self, network: nn.Module, state: PreprocessingState, seed: int) -> dict[str, Any]:
        """Samples that a trained network generates; by default none."""
        return {}

    def explain(
        self, texts: Sequence[str], state: PreprocessingState, run: Callable[[Array], Array]
    ) -> list[list[dict[str, Any]]]:
        """The weight of each word for the answer, as in `UseCase.explain`; by default empty lists."""
        return [[] for _ in texts]
