"""Whom and what does a text name? Tags word by word, decoded as the likeliest path, judged by whole entities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.use_cases.nlp.ner import entity_metrics, token_features
from tasks.use_cases.nlp.text_problem import TextProblem

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from tasks.core.problem import Array
    from tasks.core.settings import Training
    from tasks.core.use_case import PreprocessingState
    from tasks.use_cases.nlp.settings import TextModel

MAX_FEATURES = 60_000
"""Most features that words are known by, unless another number is asked for."""


@dataclass(frozen=True, slots=True)
class EntityTagging(TextProblem):
    """Outputs are scores (N, L, K, K) of each tag behind each other; targets are tag numbers (N, L)."""

    architecture: ClassVar[str] = "text_tagger"

    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The tags and the features of the train rows."""
        return token_features.fit_preprocessing(rows, model.entries or MAX_FEATURES, model.min_count, model.length)

    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Feature numbers of each word, int32 (N, L, F), and tag numbers, int64 (N, L)."""
        return token_features.encode(rows, state)

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Negative log-likelihood of the right tags in a linear-chain CRF, per word, in nats."""
        from tasks.use_cases.nlp.ner import crf_loss

        return crf_loss.negative_log_likelihood(outputs.float(), targets)

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """The likeliest tags of every text, and the probability of all of them together."""
        return token_features.decode(rows, outputs, state)

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """F1 of whole entities, precision, recall, share of words with the right tag."""
        return entity_metrics.metrics(predictions)

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """What each row adds to the F1 (N,)."""
        return entity_metrics.per_row_metric(predictions)

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """Precision, recall and F1 for each kind of entity."""
        return entity_metrics.report(predictions)

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """No entity at all, and for each word the tag it had most often."""
        return token_features.baselines(train, rows)
