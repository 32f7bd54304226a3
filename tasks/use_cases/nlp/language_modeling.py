"""Language modeling: subword tokens, log-likelihood and perplexity, n-gram baselines, and generated samples.

Predictions are tables with `text`, `log_likelihood` (natural, of the whole text) and `pieces` (the number of predicted tokens).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.text import tokenization

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array

KEPT_COLUMNS = ("file", "row", "split", "text", "label")
BOUNDARY = 1
"""The token before the first and after the last token of a text: the unknown token, which byte pairs hardly need."""
NGRAM_ORDER = 3
DISCOUNT = 0.75
NUM_SAMPLES, MAX_SAMPLE_TOKENS, TEMPERATURE = 6, 60, 0.7


def fit_preprocessing(rows: DataFrame, limit: int, min_count: int, longest: int) -> dict[str, Any]:
    """The subword vocabulary of the train rows, by Hugging Face's byte-pair encoding."""
    return {
        "task": "words",
        "vocabulary": tokenization.fit_vocabulary(rows["text"].to_list(), "subwords", limit, min_count, longest),
    }


def encode(rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
    """Tokens int32 (N, L + 2), a boundary at both ends, 0 as padding; and the numbers of predicted tokens, int64 (N,)."""
    return encode_texts(rows["text"].to_list(), state)


def encode_texts(texts: Sequence[str], state: PreprocessingState) -> tuple[Array, Array]:
    """Like `encode`, for a sequence of texts."""
    pieces_NL = tokenization.encode(texts, state["vocabulary"])
    count_N = (pieces_NL != 0).sum(1)
    inputs = np.pad(pieces_NL, ((0, 0), (1, 1)))
    inputs[:, 0] = BOUNDARY
    inputs[np.arange(len(inputs)), count_N + 1] = BOUNDARY
    return inputs, (count_N + 1).astype(np.int64)


def decode(rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
    """The log-likelihood of each text."""
    pieces = (outputs != 0).sum(1)
    return _predictions_table(rows, np.asarray(outputs, np.float64).sum(1), np.maximum(pieces, 1))


def metrics(predictions: DataFrame) -> dict[str, float]:
    """Mean log-likelihood per token first (higher is better), then perplexity, the exponential of its negative."""
    mean = float(predictions["log_likelihood"].sum() / predictions["pieces"].sum())
    return {"log_likelihood": mean, "perplexity": exp(-mean)}


def per_row_metric(predictions: DataFrame) -> NDArray[np.float64]:
    """Row values (N,) with the mean log-likelihood per token as mean, and its sampling variance (delta method)."""
    log_likelihood, pieces = (predictions[name].to_numpy(np.float64) for name in ("log_likelihood", "pieces"))
    mean = log_likelihood.sum() / pieces.sum()
    values: NDArray[np.float64] = mean + (log_likelihood - mean * pieces) * len(log_likelihood) / pieces.sum()
    return values


def report(predictions: DataFrame) -> dict[str, Any]:
    """The texts with the lowest and the highest perplexity."""
    perplexity = np.exp(-predictions["log_likelihood"] / predictions["pieces"])
    order = np.argsort(perplexity.to_numpy(), kind="stable")
    listed = {"easiest": order[:5], "hardest": order[::-1][:5]}
    return {
        name: [{"text": predictions["text"].iloc[row], "perplexity": float(perplexity.iloc[row])} for row in rows]
        for name, rows in listed.items()
    }


def baselines(state: PreprocessingState, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
    """Unigram and trigram models with absolute discounting."""
    train_texts, texts = (_token_lists(encode(some, state)[0]) for some in (train, rows))
    counts = _ngram_counts(train_texts)
    size = tokenization.vocabulary_size(state["vocabulary"])
    return {f"{order}-gram": _ngram_predictions(rows, texts, counts, order, size) for order in (1, NGRAM_ORDER)}


def generate_samples(scores: Callable[[Array], Array], state: PreprocessingState, seed: int) -> list[str]:
    """Texts sampled token by token. `scores` maps tokens (1, L) to the logits (V,) of the next token."""
    generator = np.random.default_rng(seed)
    texts = []
    for _ in range(NUM_SAMPLES):
        tokens = [BOUNDARY]
        while len(tokens) < MAX_SAMPLE_TOKENS:
            logits = np.asarray(scores(np.array([tokens], np.int64)), np.float64) / TEMPERATURE
            logits[0] = -np.inf
            shares = np.exp(logits - logits.max())
            token = int(generator.choice(len(shares), p=shares / shares.sum()))
            if token == BOUNDARY:
                break
            tokens.append(token)
        texts.append(tokenization.decode(tokens[1:], state["vocabulary"]))
    return texts


def _predictions_table(rows: DataFrame, log_likelihood: NDArray[np.float64], pieces: NDArray[Any]) -> DataFrame:
    kept = rows[[name for name in KEPT_COLUMNS if name in rows]]
    return kept.assign(log_likelihood=log_likelihood, pieces=pieces.astype(np.int64))


def _token_lists(inputs_NL: Array) -> list[list[int]]:
    return [row[row != 0].tolist() for row in np.asarray(inputs_NL)]


def _ngram_counts(texts: Sequence[Sequence[int]]) -> list[dict[tuple[int, ...], Counter[int]]]:
    """For each length of history, 0 to `NGRAM_ORDER` - 1, the counts of the tokens after each history."""
    counts: list[dict[tuple[int, ...], Counter[int]]] = [{} for _ in range(NGRAM_ORDER)]
    for text in texts:
        for position in range(1, len(text)):
            for length in range(min(NGRAM_ORDER, position + 1)):
                counts[length].setdefault(tuple(text[position - length : position]), Counter())[text[position]] += 1
    return counts


def _ngram_predictions(
    rows: DataFrame, texts: Sequence[Sequence[int]], counts: list[dict[tuple[int, ...], Counter[int]]], order: int, size: int
) -> DataFrame:
    totals = [{history: counter.total() for history, counter in level.items()} for level in counts]
    log_likelihoods = []
    for text in texts:
        total = 0.0
        for place in range(1, len(text)):
            share = 1 / size
            for length in range(min(order, place + 1)):
                history = tuple(text[place - length : place])
                if history in counts[length]:
                    counter, every = counts[length][history], totals[length][history]
                    share = (max(counter[text[place]] - DISCOUNT, 0) + DISCOUNT * len(counter) * share) / every
            total += float(np.log(share))
        log_likelihoods.append(total)
    return _predictions_table(rows, np.array(log_likelihoods), np.array([len(text) - 1 for text in texts]))
