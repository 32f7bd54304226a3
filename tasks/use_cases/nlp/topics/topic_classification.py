"""What is a text about? Classes of texts, with their label errors and linear baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.metrics.classification import softmax
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.text import pretrained_encoder, tokenization
from tasks.use_cases.nlp.text_problem import TextProblem
from tasks.use_cases.nlp.topics import classification, occlusion

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState
    from tasks.use_cases.nlp.settings import TextModel

BAG_WIDTH, STUDENT_WIDTH, STUDENT_TOKENS = 16, 32, 1000
"""Width of a bag, width of the bag that another network is distilled into (at `width_share` 1), and a student's minimum
vocabulary."""


MAX_LENGTH = 256
"""Default maximum number of tokens of a pretrained encoder: the length that it was trained on."""


@dataclass(frozen=True, slots=True)
class TopicClassification(TextProblem, MulticlassClassification):
    """Multi-class classification of texts."""

    architecture: ClassVar[str] = "bag"
    own_training: ClassVar[Mapping[str, Any]] = {"learning_rate": 0.001}
    augmented: ClassVar[bool] = True

    keep: tuple[str, ...] = classification.KEPT_COLUMNS

    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The classes and the vocabulary of the train rows; a pretrained encoder brings its own vocabulary."""
        if architecture == "text_encoder":
            files = pretrained_encoder.read_encoder(model.weights)
            vocabulary = pretrained_encoder.fit_vocabulary(rows["text"].to_list(), files, model.length or MAX_LENGTH)
            return {"classes": classification.present_classes(rows["label"], classes), "vocabulary": vocabulary}
        kind = classification.vocabulary_kind(architecture, rows["text"].to_list()) if model.tokens == "auto" else model.tokens
        return classification.fit_preprocessing(rows, classes, kind, model.entries, model.min_count, model.length)

    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as token numbers, int32 (N, L), 0 as padding, and class indices, int64 (N,)."""
        return classification.encode(rows, state)

    def encode_texts(self, texts: Sequence[str], state: PreprocessingState) -> Array:
        """Encode N texts as token numbers, int32 (N, L), 0 as padding."""
        return tokenization.encode(texts, state["vocabulary"])

    def answers(self, texts: Sequence[str], outputs: Array, state: PreprocessingState) -> list[dict[str, Any]]:
        """`probabilities` by class, from logits (N, K)."""
        return [{"probabilities": dict(zip(state["classes"], map(float, row), strict=True))} for row in softmax(outputs)]

    def student_network(
        self,
        architecture: str,
        teacher_fields: Callable[[], dict[str, Any]],
        state: PreprocessingState,
        width_share: float,
        model: TextModel,
    ) -> tuple[str, dict[str, Any]]:
        """A bag for every architecture: on short texts it beats every smaller network of the same architecture.

        A bag's student keeps `width_share` of the tokens, the most frequent ones; its width is at most the number of classes.
        """
        if architecture != "bag":
            return "bag", {"width": max(4, round(STUDENT_WIDTH * width_share))}
        tokens, classes = tokenization.vocabulary_size(state["vocabulary"]), len(state["classes"])
        kept = min(tokens, max(STUDENT_TOKENS, round(tokens * width_share)))
        return "bag", {"width": min(model.width or BAG_WIDTH, classes), "tokens": kept}

    def explain(
        self, texts: Sequence[str], state: PreprocessingState, run: Callable[[Array], Array]
    ) -> list[list[dict[str, Any]]]:
        """The weight of each word for the most probable class, by occlusion."""
        return occlusion.word_importance(texts, lambda variants: run(self.encode_texts(variants, state)))

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """The report of classes, and suspected label errors."""
        return classification.report(predictions)

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """Linear SVMs on tf-idf of words and word pairs, without and with character n-grams."""
        return classification.exported_baselines(train, state["classes"])
