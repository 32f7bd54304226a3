"""What comes next? Language modeling: the likelihood of each next token, perplexity, and generated samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.use_cases.nlp import language_modeling
from tasks.use_cases.nlp.text_problem import TextProblem

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor, nn

    from tasks.core.problem import Array, PreprocessingState
    from tasks.core.settings import Training
    from tasks.use_cases.nlp.settings import TextModel

MAX_TOKENS = 2_000
"""Default size of the vocabulary."""
MAX_LENGTH = 256
"""Default maximum number of tokens of a text."""


@dataclass(frozen=True, slots=True)
class NextTokenPrediction(TextProblem):
    """Outputs are log-likelihoods (N, L) of each token given those before it; targets are numbers of tokens (N,)."""

    architecture: ClassVar[str] = "text_writer"
    labelled: ClassVar[bool] = False

    def fit_preprocessing(
        self, rows: DataFrame, model: TextModel, architecture: str, classes: Sequence[str]
    ) -> PreprocessingState:
        """The byte-pair vocabulary of the train rows."""
        return language_modeling.fit_preprocessing(rows, model.entries or MAX_TOKENS, model.min_count, model.length or MAX_LENGTH)

    def encode(self, rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as token numbers, int32 (N, L + 2), with boundaries, and numbers of predicted tokens, int64 (N,)."""
        return language_modeling.encode(rows, state)

    def encode_texts(self, texts: Sequence[str], state: PreprocessingState) -> Array:
        """Encode N texts as token numbers, int32 (N, L + 2), a boundary at both ends."""
        return language_modeling.encode_texts(texts, state)[0]

    def answers(self, texts: Sequence[str], outputs: Array, state: PreprocessingState) -> list[dict[str, Any]]:
        """`perplexity` of each text."""
        losses = [-float(row.sum()) / max(1, int((row != 0).sum())) for row in outputs]
        return [{"perplexity": float(np.exp(value))} for value in losses]

    def loss(self, outputs: Tensor, targets: Tensor, training: Training) -> Tensor:
        """Cross entropy per token, in nats."""
        return -outputs.float().sum() / targets.sum()

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """The loss without the teacher, since `teacher_outputs` hold the likelihood of the actual token only."""
        return -outputs.float().sum() / targets.sum()

    def decode(self, rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
        """The log-likelihood of each text, and its number of tokens."""
        return language_modeling.decode(rows, outputs, state)

    def metrics(self, predictions: DataFrame) -> dict[str, float]:
        """Log-likelihood per token, and perplexity."""
        return language_modeling.metrics(predictions)

    def per_row_metric(self, predictions: DataFrame) -> Array:
        """Row values (N,) whose mean is the log-likelihood per token."""
        return language_modeling.per_row_metric(predictions)

    def report(self, predictions: DataFrame) -> dict[str, Any]:
        """The texts with the lowest and the highest perplexity."""
        return language_modeling.report(predictions)

    def baselines(
        self, train: DataFrame, rows: DataFrame, encode: Callable[[DataFrame], tuple[Array, Array]], state: PreprocessingState
    ) -> dict[str, DataFrame]:
        """A unigram and a trigram model."""
        return language_modeling.baselines(state, train, rows)

    def sample_outputs(self, network: nn.Module, state: PreprocessingState, seed: int) -> dict[str, Any]:
        """Generated texts as `written`."""
        import torch

        def scores(numbers: Array) -> Array:
            with torch.inference_mode():
                values: Array = network.scores(torch.from_numpy(numbers))[0, -1].numpy()  # type: ignore[operator]
            return values

        return {"written": language_modeling.generate_samples(scores, state, seed)}
