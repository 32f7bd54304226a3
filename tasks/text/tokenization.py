"""From texts to numbers a network can look up, learnt from train rows only and kept as plain JSON.

Four kinds: `grams` (words and pairs of neighbours, for bags), `letters` (these and runs of 4 and 5 letters), `words`, and
`subwords` (byte-pair encoding by Hugging Face's tokenizers, for networks that read in order). Number 0 is nothing; what is
commoner in the train rows has the smaller number, so a network that keeps fewer rows of its table forgets the rarest.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from tasks.core.errors import UserError
from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Numbers = NDArray[np.int32]
    Hashes = NDArray[np.uint32]
    Seen = Callable[[Sequence[str]], tuple[Hashes, NDArray[np.int64]]]

Kind = Literal["grams", "letters", "words", "subwords"]
Vocabulary = Mapping[str, Any]

HASH_BITS = 24
"""A gram is known by so much of its hash, 4 letters of base64: one stranger in about 100 is taken for a known one."""
RUNS = (4, 5)
"""Letters of a run, the edges of a word among them."""
PADDING, UNKNOWN = "[PAD]", "[UNK]"
BEGIN = "\u2581"
BLOCK_ROWS = 5000
LENGTH_ROWS = 20_000
"""Train texts, evenly spread, from which the usual length is read."""
LONG_SHARE = 0.995
"""Texts longer than so many of the train texts are cut."""


def fit_vocabulary(texts: Sequence[str], kind: Kind, limit: int, min_count: int, longest: int) -> dict[str, Any]:
    """What to look up: at most `limit` entries found in at least `min_count` texts, and the `length` texts are brought to."""
    makers = {"grams": _learn_grams, "letters": _learn_letters, "words": _learn_words, "subwords": _learn_subwords}
    found = makers[kind](texts, limit, min_count)
    if not found["entries"]:
        raise UserError(f"no word stands in {min_count} of {len(texts):,} train texts; lower model.min_count or add rows")
    sample = texts[:: -(-len(texts) // LENGTH_ROWS)]
    counts = np.concatenate([(block > 0).sum(1) for block in _blocks(sample, {"kind": kind, "length": longest, **found})])
    usual = int(np.quantile(counts, LONG_SHARE, method="higher"))
    return {"kind": kind, "length": min(longest, max(8, -(-usual // 8) * 8)), **found}


def encode(texts: Sequence[str], vocabulary: Vocabulary) -> Numbers:
    """Numbers (N, length), 0 behind the end of each text; longer texts lose their end."""
    return np.concatenate([np.zeros((0, vocabulary["length"]), np.int32), *_blocks(texts, vocabulary)])


def vocabulary_size(vocabulary: Vocabulary) -> int:
    """Rows a table needs for every number there may be."""
    return int(vocabulary["count"]) + FIRST_ID[vocabulary["kind"]]


def decode(numbers: Sequence[int], vocabulary: Vocabulary) -> str:
    """The words that these subwords make."""
    tokenizer = _tokenizer(vocabulary["entries"])
    return "".join(tokenizer.id_to_token(number) or "" for number in numbers).replace(BEGIN, " ").strip()


def truncate_vocabulary(vocabulary: Vocabulary, rows: int) -> dict[str, Any]:
    """The vocabulary of a table with so many rows, the rarest entries left out; subwords stay, for they spell each other."""
    kind = vocabulary["kind"]
    count = min(vocabulary["count"], rows - FIRST_ID[kind])
    if kind == "subwords" or count == vocabulary["count"]:
        return dict(vocabulary)
    entries = vocabulary["entries"][: 4 * count] if kind in HASHED else " ".join(vocabulary["entries"].split(" ")[:count])
    return {**vocabulary, "count": count, "entries": entries}


FIRST_ID = {"grams": 1, "letters": 1, "words": 2, "subwords": 2, "features": 2}
"""The number of the commonest entry; in words and subwords 1 is an unknown one."""


def _blocks(texts: Sequence[str], vocabulary: Vocabulary) -> Iterator[Numbers]:
    for start in range(0, len(texts), BLOCK_ROWS):
        some = texts[start : start + BLOCK_ROWS]
        length, entries = vocabulary["length"], vocabulary["entries"]
        if vocabulary["kind"] in HASHED:
            hashes, rows = HASHED[vocabulary["kind"]](some)
            numbers = _found(hashes, *_sorted(entries))
            yield _laid_out(numbers[numbers > 0], rows[numbers > 0], len(some), length)
        elif vocabulary["kind"] == "words":
            number = _numbered(entries)
            every = [[number.get(word, 1) for word in words(text)[:length]] for text in some]
            rows = np.repeat(np.arange(len(some)), [len(row) for row in every])
            yield _laid_out(np.array([n for row in every for n in row], np.int32), rows, len(some), length)
        else:
            encodings = _tokenizer(entries).encode_batch([_begun(text)[:length] for text in some], is_pretokenized=True)
            rows = np.repeat(np.arange(len(some)), [len(found.ids) for found in encodings])
            yield _laid_out(np.array([n for found in encodings for n in found.ids], np.int32), rows, len(some), length)


def _laid_out(numbers: Numbers, rows: NDArray[np.int64], count: int, length: int) -> Numbers:
    """A flat run of numbers and the row of each, in order, to (count, length)."""
    laid = np.zeros((count, length), np.int32)
    places = np.arange(len(rows)) - np.searchsorted(rows, np.arange(count))[rows]
    laid[rows[places < length], places[places < length]] = numbers[places < length]
    return laid


def _grams(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hash of each word and of each pair of neighbours, text by text in their order, and the row of each."""
    every = [words(text) for text in texts]
    codes = _Codes()
    rows = np.repeat(np.arange(len(every)), [len(row) for row in every])
    code = np.fromiter((codes[word] for row in every for word in row), np.uint64, len(rows))
    hashes = np.zeros((len(code), 2), np.uint32)
    hashes[:, 0] = _mixed(code)
    hashes[:-1, 1] = _mixed(((code[:-1] + np.uint64(1)) << np.uint64(32)) | code[1:])
    pair = np.ones((len(code), 2), bool)
    pair[:, 1] = np.append(rows[:-1] == rows[1:], False)[: len(rows)]
    return hashes[pair], np.repeat(rows[:, None], 2, axis=1)[pair]


def _letters(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The grams of each text, then the hash of each run of letters in its words; and the row of each."""
    runs = _Runs()
    every = [[code for word in words(text) for code in runs[word]] for text in texts]
    rows = np.repeat(np.arange(len(every)), [len(row) for row in every])
    codes = np.fromiter((code for row in every for code in row), np.uint64, len(rows))
    grams, rows_of_grams = _grams(texts)
    hashes, rows = np.concatenate([grams, _mixed(codes)]), np.concatenate([rows_of_grams, rows])
    order = np.argsort(rows, kind="stable")
    return hashes[order], rows[order]


HASHED = {"grams": _grams, "letters": _letters}
"""What is known by a hash: from texts to the hashes in them and the row of each."""


class _Runs(dict[str, list[int]]):
    """A number for each run of letters in a word, worked out once; none is that of a word or of a pair."""

    def __missing__(self, word: str) -> list[int]:
        edged = f"<{word}>"
        found = [
            (length << 60) | crc32(edged[place : place + length].encode("utf-8", "surrogatepass"))
            for length in RUNS
            for place in range(len(edged) - length + 1)
        ]
        self[word] = found
        return found


class _Codes(dict[str, int]):
    """The checksum of each word, worked out once."""

    def __missing__(self, word: str) -> int:
        self[word] = code = crc32(word.encode("utf-8", "surrogatepass"))
        return code


def _mixed(code: NDArray[np.uint64]) -> Hashes:
    """Evenly spread hashes of `HASH_BITS` bits (the finisher of splitmix64)."""
    code = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((code ^ (code >> np.uint64(31))) >> np.uint64(64 - HASH_BITS)).astype(np.uint32)


def _learn_grams(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    return _ranked(texts, _grams, limit, min_count)


def _learn_letters(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    return _ranked(texts, _letters, limit, min_count)


def _ranked(texts: Sequence[str], seen: Seen, limit: int, min_count: int) -> dict[str, Any]:
    """The hashes that stand in enough texts, the commonest first, packed."""
    counts = np.zeros(1 << HASH_BITS, np.int32)
    for start in range(0, len(texts), BLOCK_ROWS):
        hashes, rows = seen(texts[start : start + BLOCK_ROWS])
        once = np.unique((rows.astype(np.uint64) << np.uint64(HASH_BITS)) | hashes) & np.uint64((1 << HASH_BITS) - 1)
        found, times = np.unique(once, return_counts=True)
        counts[found] += times.astype(np.int32)
    known = np.flatnonzero(counts >= min_count)
    ranked = known[np.lexsort((known, -counts[known]))][:limit].astype("<u4")
    packed = ranked.view(np.uint8).reshape(-1, 4)[:, :3]
    return {"count": len(ranked), "entries": b64encode(packed.tobytes()).decode()}


@lru_cache(maxsize=4)
def _sorted(entries: str) -> tuple[Hashes, Numbers]:
    """The known hashes in order, and the number of each."""
    packed = np.frombuffer(b64decode(entries), np.uint8).reshape(-1, 3)
    ranked = np.pad(packed, ((0, 0), (0, 1))).view("<u4").ravel().astype(np.uint32)
    order = np.argsort(ranked)
    return ranked[order], (order + 1).astype(np.int32)


def _found(hashes: Hashes, known: Hashes, numbers: Numbers) -> Numbers:
    """The number of each hash, 0 for a stranger."""
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[place] == hashes, numbers[place], 0).astype(np.int32)


def _learn_words(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    counts = Counter(word for text in texts for word in set(words(text)))
    ranked = sorted((word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word))[
        :limit
    ]
    return {"count": len(ranked), "entries": " ".join(ranked)}


@lru_cache(maxsize=4)
def _numbered(entries: str) -> dict[str, int]:
    return {word: number for number, word in enumerate(entries.split(" "), start=FIRST_ID["words"])}


def _learn_subwords(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    """Byte-pair encoding by Hugging Face, kept as the text of its tokenizer.json."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=limit, min_frequency=max(2, min_count), special_tokens=[PADDING, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator((" ".join(_begun(text)) for text in texts), trainer)
    return {"count": tokenizer.get_vocab_size() - FIRST_ID["subwords"], "entries": tokenizer.to_str()}


def _begun(text: str) -> list[str]:
    """The words of a text, each with a mark where it begins, so that a piece knows whether it begins a word."""
    return [BEGIN + word for word in words(text)]


@lru_cache(maxsize=4)
def _tokenizer(entries: str) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    return Tokenizer.from_str(entries)
