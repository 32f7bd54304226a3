"""A linear-chain CRF on the features of words as a classic baseline of named entities, fitted by CRFsuite, as an ONNX file.

J. Lafferty, A. McCallum, F. Pereira, "Conditional random fields", ICML 2001; N. Okazaki, CRFsuite, 2007. Features and
penalties are those of the tutorial of sklearn-crfsuite on CoNLL 2002: each word's form, endings and three yes-or-no features,
and the form and two of those of its neighbours.

Legend: N sentences, L words, F features of a word, V features in all, K tags, R the three places of a table (the word before,
the word itself, the word after).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tasks.core.exported_baseline import ExportedBaseline
from tasks.data import sampling
from tasks.problems.baselines.onnx_graph import Graph
from tasks.text.tokenization import FIRST_ID, vocabulary_size
from tasks.use_cases.nlp.ner import token_features

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from pandas import DataFrame

    from tasks.core.problem import PreprocessingState

    Floats = NDArray[np.float64]

NAME = "conditional random field"
PENALTIES = {"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True}
"""Weights of the L1 and L2 norms, and the most iterations of L-BFGS."""
NEIGHBOUR_FEATURES = ("w:", "t:", "u:")
"""The features that a word's neighbours are seen by."""
MAX_FEATURES, MAX_WORDS = 2_000_000, 256
BLOCK_ROWS = 2000
"""Sentences that are encoded at a time."""
COMPARED_ROWS = 100
"""The most train rows on which the file is compared with CRFsuite's weights."""


class Weights(NamedTuple):
    """A fitted CRF: weights of features (V, R, K) for the word before, the word, and the word after; of tag k after j (K, K)."""

    features_VRK: Floats
    transitions_KK: Floats


def exported(train: DataFrame) -> ExportedBaseline:
    """The CRF fitted on these rows as an ONNX file that gives scores (N, L, K, K)."""
    state = token_features.fit_preprocessing(train, MAX_FEATURES, 1, MAX_WORDS, features="classic")
    weights = fit(train, state)
    (sample,) = sampling.evenly_spaced_rows([len(train)], COMPARED_ROWS)
    compared = train.iloc[sample].reset_index(drop=True)
    inputs = token_features.encode_texts(compared["text"].to_list(), state)
    return ExportedBaseline(
        model=to_onnx(weights, inputs.shape[1:]),
        state=state,
        parameters=int(np.count_nonzero(weights.features_VRK) + weights.transitions_KK.size),
        train_rows=len(train),
        inputs=inputs,
        expected=scores(weights, inputs),
    )


def fit(train: DataFrame, state: PreprocessingState) -> Weights:
    """Fit CRFsuite to the rows; its weights, by the ids and the tags of the state."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(PENALTIES)
    seen = seen_by_neighbours(state)
    for start in range(0, len(train), BLOCK_ROWS):
        block = train.iloc[start : start + BLOCK_ROWS]
        ids_NLF = token_features.encode_texts(block["text"].to_list(), state)
        for ids_LF, tags in zip(ids_NLF, block["tags"], strict=True):
            words = attributes(ids_LF, seen)
            trainer.append(words, tags.split()[: len(words)])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "crf.bin")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        fitted = tagger.info()
        tagger.close()
    place = {tag: number for number, tag in enumerate(state["tags"])}
    weights = Weights(np.zeros((vocabulary_size(state["vocabulary"]), 3, len(place))), np.zeros((len(place), len(place))))
    for (attribute, tag), weight in fitted.state_features.items():
        number, offset = map(int, attribute.split("|"))
        weights.features_VRK[number, offset, place[tag]] = weight
    for (before, after), weight in fitted.transitions.items():
        weights.transitions_KK[place[before], place[after]] = weight
    return weights


def attributes(ids_LF: Any, seen: NDArray[np.bool_]) -> list[list[str]]:
    """What CRFsuite reads of each word of a sentence: `id|place` of its features, and of its neighbours' that are `seen` (V,)."""
    words = [row[row > 0].tolist() for row in ids_LF if row.any()]
    neighbours = [[number for number in row if seen[number]] for row in words]
    return [
        [
            *(f"{number}|1" for number in row),
            *(f"{number}|0" for number in (neighbours[place - 1] if place else ())),
            *(f"{number}|2" for number in (neighbours[place + 1] if place + 1 < len(words) else ())),
        ]
        for place, row in enumerate(words)
    ]


def scores(weights: Weights, ids_NLF: Any) -> Floats:
    """The scores (N, L, K, K) of tag k after tag j, 0 at padding; those of a first word do not depend on tag j."""
    features = weights.features_VRK
    before_NLK, own_NLK, after_NLK = (features[ids_NLF, place].sum(2) for place in range(3))
    emissions_NLK = own_NLK.copy()
    emissions_NLK[:, 1:] += before_NLK[:, :-1]
    emissions_NLK[:, :-1] += after_NLK[:, 1:]
    transitions_LKK = np.repeat(weights.transitions_KK[None], ids_NLF.shape[1], axis=0)
    transitions_LKK[0] = 0
    present_NL = ids_NLF[:, :, 0] != 0
    return np.where(present_NL[:, :, None, None], emissions_NLK[:, :, None] + transitions_LKK, 0.0)


def to_onnx(weights: Weights, shape: Sequence[int]) -> ModelProto:
    """The graph from ids `inputs` (N, L, F) of this shape (L, F) to `outputs` (N, L, K, K), as `scores` computes them."""
    length, classes = shape[0], len(weights.transitions_KK)
    graph = Graph(np.dtype(np.int32), shape)
    tables = [graph.constant(weights.features_VRK[:, place]) for place in range(3)]
    two = graph.constant([2], np.int64)
    before, own, after = (graph.add("ReduceSum", graph.add("Gather", table, "inputs"), two, keepdims=0) for table in tables)
    one = graph.constant([1], np.int64)

    def shifted(value: str, pads: tuple[int, int], first: int) -> str:
        padded = graph.add("Pad", value, graph.constant([0, pads[0], 0, 0, pads[1], 0], np.int64))
        start, stop = graph.constant([first], np.int64), graph.constant([first + length], np.int64)
        return graph.add("Slice", padded, start, stop, one)

    emissions = graph.add("Add", graph.add("Add", own, shifted(before, (1, 0), 0)), shifted(after, (0, 1), 1))
    transitions_LKK = np.repeat(weights.transitions_KK[None], length, axis=0)
    transitions_LKK[0] = 0
    every = graph.add("Add", graph.add("Unsqueeze", emissions, two), graph.constant(transitions_LKK))
    first_ids = graph.add("Gather", "inputs", graph.constant(0, np.int64), axis=2)
    present = graph.add("Greater", first_ids, graph.constant(0, np.int32))
    mask = graph.add("Unsqueeze", graph.cast(present), graph.constant([2, 3], np.int64))
    return graph.finish(graph.add("Mul", every, mask), length, classes, classes)


def seen_by_neighbours(state: PreprocessingState) -> NDArray[np.bool_]:
    """Whether a feature is one of `NEIGHBOUR_FEATURES`, (V,)."""
    entries = state["vocabulary"]["entries"].split(" ")
    return np.array([False] * FIRST_ID["features"] + [entry.startswith(NEIGHBOUR_FEATURES) for entry in entries], bool)
