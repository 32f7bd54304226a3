"""What comes next? Texts as runs of pieces of words, how likely a model finds them, and what it writes itself.

Predictions are tables with `text`, `log_likelihood` (natural, of the whole text) and `pieces` (how many were foretold).
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

    from tasks.core.use_case import Array, PreprocessingState

KEPT_COLUMNS = ("file", "row", "split", "text", "label")
BOUNDARY = 1
"""Stands before the first piece and behind the last; as a piece it would be the unknown one, which byte-pairs hardly need."""
NGRAM_ORDER = 3
DISCOUNT = 0.75
NUM_SAMPLES, MAX_SAMPLE_TOKENS, TEMPERATURE = 6, 60, 0.7


def fit_preprocessing(rows: DataFrame, limit: int, min_count: int, longest: int) -> dict[str, Any]:
    """The pieces of the train rows' words, by Hugging Face's byte-pair encoding."""
    return {
        "task": "words",
        "vocabulary": tokenization.fit_vocabulary(rows["text"].to_list(), "subwords", limit, min_count, longest),
    }


def encode(rows: DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
    """Numbers int32 (N, L + 2), an edge before and behind each text, then 0; and how many pieces are foretold, int64 (N,)."""
    return encode_texts(rows["text"].to_list(), state)


def encode_texts(texts: Sequence[str], state: PreprocessingState) -> tuple[Array, Array]:
    """The same of bare texts."""
    pieces_NL = tokenization.encode(texts, state["vocabulary"])
    count_N = (pieces_NL != 0).sum(1)
    inputs = np.pad(pieces_NL, ((0, 0), (1, 1)))
    inputs[:, 0] = BOUNDARY
    inputs[np.arange(len(inputs)), count_N + 1] = BOUNDARY
    return inputs, (count_N + 1).astype(np.int64)


def decode(rows: DataFrame, outputs: Array, state: PreprocessingState) -> DataFrame:
    """How likely each text is."""
    pieces = (outputs != 0).sum(1)
    return _predictions_table(rows, np.asarray(outputs, np.float64).sum(1), np.maximum(pieces, 1))


def metrics(predictions: DataFrame) -> dict[str, float]:
    """Mean log-likelihood of a piece first (higher is better), then perplexity, its exponential turned round."""
    mean = float(predictions["log_likelihood"].sum() / predictions["pieces"].sum())
    return {"log_likelihood": mean, "perplexity": exp(-mean)}


def per_row_metric(predictions: DataFrame) -> NDArray[np.float64]:
    """What each row adds to the mean log-likelihood of a piece, (N,): its mean is that, and its spread (delta method)."""
    told, pieces = (predictions[name].to_numpy(np.float64) for name in ("log_likelihood", "pieces"))
    mean = told.sum() / pieces.sum()
    found: NDArray[np.float64] = mean + (told - mean * pieces) * len(told) / pieces.sum()
    return found


def report(predictions: DataFrame) -> dict[str, Any]:
    """The texts foretold best and worst, by perplexity."""
    perplexity = np.exp(-predictions["log_likelihood"] / predictions["pieces"])
    order = np.argsort(perplexity.to_numpy(), kind="stable")
    listed = {"easiest": order[:5], "hardest": order[::-1][:5]}
    return {
        name: [{"text": predictions["text"].iloc[row], "perplexity": float(perplexity.iloc[row])} for row in rows]
        for name, rows in listed.items()
    }


def baselines(state: PreprocessingState, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
    """How often each piece is; and what followed the two before it, by absolute discounting down to single pieces."""
    known, asked = (_token_lists(encode(some, state)[0]) for some in (train, rows))
    counts = _ngram_counts(known)
    size = tokenization.vocabulary_size(state["vocabulary"])
    return {f"{order}-gram": _ngram_predictions(rows, asked, counts, order, size) for order in (1, NGRAM_ORDER)}


def generate_samples(scores: Callable[[Array], Array], state: PreprocessingState, seed: int) -> list[str]:
    """Texts written piece by piece. `scores` gives from numbers (1, L) the scores (V,) of what may come next."""
    dice = np.random.default_rng(seed)
    texts = []
    for _ in range(NUM_SAMPLES):
        run = [BOUNDARY]
        while len(run) < MAX_SAMPLE_TOKENS:
            odds = np.asarray(scores(np.array([run], np.int64)), np.float64) / TEMPERATURE
            odds[0] = -np.inf
            shares = np.exp(odds - odds.max())
            chosen = int(dice.choice(len(shares), p=shares / shares.sum()))
            if chosen == BOUNDARY:
                break
            run.append(chosen)
        texts.append(tokenization.decode(run[1:], state["vocabulary"]))
    return texts


def _predictions_table(rows: DataFrame, log_likelihood: NDArray[np.float64], pieces: NDArray[Any]) -> DataFrame:
    kept = rows[[name for name in KEPT_COLUMNS if name in rows]]
    return kept.assign(log_likelihood=log_likelihood, pieces=pieces.astype(np.int64))


def _token_lists(inputs_NL: Array) -> list[list[int]]:
    return [row[row != 0].tolist() for row in np.asarray(inputs_NL)]


def _ngram_counts(texts: Sequence[Sequence[int]]) -> list[dict[tuple[int, ...], Counter[int]]]:
    """For each length of history, 0 to `NGRAM_ORDER` - 1, what followed each history how often."""
    counts: list[dict[tuple[int, ...], Counter[int]]] = [{} for _ in range(NGRAM_ORDER)]
    for text in texts:
        for place in range(1, len(text)):
            for length in range(min(NGRAM_ORDER, place + 1)):
                counts[length].setdefault(tuple(text[place - length : place]), Counter())[text[place]] += 1
    return counts


def _ngram_predictions(
    rows: DataFrame, texts: Sequence[Sequence[int]], counts: list[dict[tuple[int, ...], Counter[int]]], order: int, size: int
) -> DataFrame:
    totals = [{history: found.total() for history, found in level.items()} for level in counts]
    told = []
    for text in texts:
        total = 0.0
        for place in range(1, len(text)):
            share = 1 / size
            for length in range(min(order, place + 1)):
                history = tuple(text[place - length : place])
                if history in counts[length]:
                    found, every = counts[length][history], totals[length][history]
                    share = (max(found[text[place]] - DISCOUNT, 0) + DISCOUNT * len(found) * share) / every
            total += float(np.log(share))
        told.append(total)
    return _predictions_table(rows, np.array(told), np.array([len(text) - 1 for text in texts]))
