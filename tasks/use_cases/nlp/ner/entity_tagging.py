"""Whom and what does a text name? Named entity recognition with a linear-chain CRF, measured by whole entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.use_cases.nlp.ner import entity_metrics, token_features
from tasks.use_cases.nlp.text_problem import TextProblem

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.exported_baseline import ExportedBaseline
    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training
    from tasks.use_cases.nlp.settings import TextModel

MAX_FEATURES = 60_000
"""Default size of the feature vocabulary."""
MAX_WORDS = 256
"""Default maximum length of a sentence."""
UNKNOWN_SHARE = 0.1
"""The share of features that a tagger reads as unknown while it is trained."""


@dataclass(frozen=True, slots=True)
class EntityTagging(TextProblem):
    """Outputs are scores (N, L, K, K) of each tag after each other tag; targets are tag numbers (N, L)."""

    architecture: ClassVar[str] = "text_tagger"
    own_training: ClassVar[Mapping[str, Any]] = {
        "epochs": 8,
        "min_steps": 600,
        "batch_size": 32,
        "learning_rate": 0.005,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
    }

    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The tags, and the features and characters of the words of the train rows."""
        return token_features.fit_preprocessing(
            rows, model.entries or MAX_FEATURES, model.min_count, model.length or MAX_WORDS, features="cased", characters=True
        )

    def network_fields(self, architecture: str, state: PreprocessingState) -> dict[str, Any]:
        """The numbers of features and characters, and that the tagger weighs the features of neighbours as a CRF does."""
        fields = token_features.network_fields(state)
        return {**fields, "neighbours": True, "unknown": UNKNOWN_SHARE} if fields and architecture == "text_tagger" else {}

    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as feature numbers of each word, int32 (N, L, F), and tag numbers, int64 (N, L)."""
        return token_features.encode(rows, state)

    def encode_texts(self, texts: Sequence[str], state: PreprocessingState) -> Array:
        """Encode N texts as feature numbers of each word, int32 (N, L, F)."""
        return token_features.encode_texts(texts, state)

    def answers(self, texts: Sequence[str], outputs: Array, state: PreprocessingState) -> list[dict[str, Any]]:
        """`entities` of each text in order, each with `kind` and `text`."""
        return [{"entities": token_features.entities(text, row, state)} for text, row in zip(texts, outputs, strict=True)]

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Negative log-likelihood of the actual tags in a linear-chain CRF, per word, in nats."""
        from tasks.use_cases.nlp.ner import crf_loss

        return crf_loss.negative_log_likelihood(outputs.float(), targets)

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """The most probable tag sequence of each text, and its probability."""
        return token_features.decode(rows, outputs, state)

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """F1, precision and recall of whole entities, and word accuracy."""
        return entity_metrics.metrics(predictions)

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values (N,) whose mean is the F1."""
        return entity_metrics.per_row_metric(predictions)

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Precision, recall, F1 and support of each kind of entity."""
        return entity_metrics.report(predictions)

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """No entity at all, and the most frequent tag of each word."""
        return token_features.baselines(train, rows)

    def exported_baselines(
        self, train: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, ExportedBaseline]:
        """A linear-chain CRF on the usual features of words and their neighbours."""
        from tasks.use_cases.nlp.ner import crf_baseline

        return {crf_baseline.NAME: crf_baseline.exported(train)}
