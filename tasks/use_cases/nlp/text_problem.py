"""What a problem of texts brings besides: its vocabulary, its inputs, its default network and its student."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.core.problem import Problem

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from tasks.core.problem import Array
    from tasks.core.use_case import PreprocessingState
    from tasks.use_cases.nlp.settings import TextModel


class TextProblem(Problem):
    """A problem of texts; the use case `nlp` leaves to it whatever differs from problem to problem."""

    architecture: ClassVar[str]
    """The network unless another is named."""
    augmented: ClassVar[bool] = False
    """Whether noise may be added to its texts."""

    @abstractmethod
    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The vocabulary of the train rows, and what outputs stand for; `classes` are those the data set names, if any."""

    @abstractmethod
    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N texts to token numbers, int32 (N, L) or (N, L, F), 0 behind the end, and int64 targets (N, ...)."""

    def student(
        self, architecture: str, fields: dict[str, Any], state: PreprocessingState, width_share: float, model: TextModel
    ) -> tuple[str, dict[str, Any]]:
        """The architecture and the sizes of a student of a network with these `fields`; by default the same, narrower."""
        return architecture, {name: max(4, round(fields[name] * width_share)) for name in ("width", "hidden")}

    def sample_outputs(self, network: nn.Module, state: PreprocessingState, seed: int) -> dict[str, Any]:
        """What a fitted network can show of itself; by default nothing."""
        return {}

    def explain(self, rows: DataFrame, state: PreprocessingState, answer: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """What each part of the rows was worth to the answer, as in `UseCase.explain`; by default nothing."""
        return [[] for _ in range(len(rows))]
