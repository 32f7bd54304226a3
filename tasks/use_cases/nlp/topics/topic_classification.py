"""What is a text about? Classes of texts, with their label errors and linear baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.text import tokenization
from tasks.use_cases.nlp.text_problem import TextProblem
from tasks.use_cases.nlp.topics import classification, occlusion

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.problem import Array
    from tasks.core.use_case import PreprocessingState
    from tasks.use_cases.nlp.settings import TextModel

BAG_WIDTH, STUDENT_WIDTH, STUDENT_TOKENS = 16, 32, 1000
"""Widths of a bag and of the bag that distils another network (at `width_share` 1); the fewest tokens a student knows."""


@dataclass(frozen=True, slots=True)
class TopicClassification(TextProblem, MulticlassClassification):
    """Multi-class classification of texts."""

    architecture: ClassVar[str] = "bag"
    augmented: ClassVar[bool] = True

    keep: tuple[str, ...] = classification.KEPT_COLUMNS

    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The classes and the vocabulary of the train rows."""
        kind = classification.VOCABULARY_KINDS.get(architecture, "words") if model.tokens == "auto" else model.tokens
        return classification.fit_preprocessing(rows, classes, kind, model.entries, model.min_count, model.length)

    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N texts to token numbers, int32 (N, L), 0 behind the end, and class indices, int64 (N,)."""
        return classification.encode(rows, state)

    def student(
        self, architecture: str, fields: dict[str, Any], state: PreprocessingState, width_share: float, model: TextModel
    ) -> tuple[str, dict[str, Any]]:
        """A bag whatever the architecture: for short texts it beats every smaller network of the same kind.

        Of a bag's tokens the student has `width_share`, the most common ones, and no more width than there are classes.
        """
        if architecture != "bag":
            return "bag", {"width": max(4, round(STUDENT_WIDTH * width_share))}
        tokens, classes = tokenization.vocabulary_size(state["vocabulary"]), len(state["classes"])
        kept = min(tokens, max(STUDENT_TOKENS, round(tokens * width_share)))
        return "bag", {"width": min(model.width or BAG_WIDTH, classes), "tokens": kept}

    def explain(self, rows: DataFrame, state: PreprocessingState, answer: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """What each word was worth to the answer, by leaving it out."""
        return occlusion.word_importance(
            rows["text"].to_list(), lambda texts: answer(tokenization.encode(texts, state["vocabulary"]))
        )

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """The report of classes, and labels that seem wrong."""
        return classification.report(predictions)

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """The majority class for all rows, and linear machines on tf-idf of words and pairs, without and with letters."""
        return classification.baselines(train, rows, state["classes"])
