"""Tokenization: texts to token ids, with a vocabulary fitted on train rows only and stored as plain JSON.

Five kinds: `grams` (hashed words and word bigrams, for bags of words), `letters` (these and hashed character n-grams of 4
and 5 characters), `characters` (hashed character n-grams of scripts without blanks between words), `words`, and `subwords`
(byte-pair encoding by Hugging Face's tokenizers, for sequence models). Id 0 is padding. Ids are in order of frequency, so that
a network with a smaller embedding loses the rarest entries.
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
from tasks.text import character_ngrams, pretrained_encoder, term_counts
from tasks.text.normalization import words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    TokenIds = NDArray[np.int32]
    Hashes = NDArray[np.uint32]
    HashFunction = Callable[[Sequence[str]], tuple[Hashes, NDArray[np.int64]]]

Kind = Literal["grams", "letters", "characters", "words", "subwords"]
Vocabulary = Mapping[str, Any]

HASH_BITS = 24
"""Bits of an n-gram's hash, 4 characters in base64. About 1 in 100 unknown n-grams collides with a known one."""
CHARACTER_NGRAM_LENGTHS = (4, 5)
"""Characters of a character n-gram; the edges of a word count."""
PADDING, UNKNOWN = "[PAD]", "[UNK]"
BEGIN = "\u2581"
BLOCK_ROWS = 5000
LENGTH_SAMPLE_ROWS = 20_000
"""The most train texts, evenly spaced, from which the length of the inputs is estimated."""
LENGTH_QUANTILE = 0.995
"""Texts longer than this quantile of the train texts' lengths are truncated."""
USUAL_LENGTH, LONG_LENGTH_QUANTILE = 256, 0.95
"""Where `LENGTH_QUANTILE` gives more than `USUAL_LENGTH` tokens, the length is that or this quantile, whichever is more."""
MAX_LENGTH = {"grams": 4096, "letters": 8192, "characters": 8192, "words": 2048, "subwords": 512}
"""The longest texts that are read by default. Subwords are for networks whose time grows with the square of the length."""


def fit_vocabulary(texts: Sequence[str], kind: Kind, limit: int, min_count: int, longest: int) -> dict[str, Any]:
    """A vocabulary of at most `limit` entries that occur in at least `min_count` texts, with the `length` of the inputs.

    The length follows from the texts; it is at most `longest`, or `MAX_LENGTH` of the kind if that is 0.
    """
    fitters = {"words": _fit_words, "subwords": _fit_subwords}
    if kind in HASHED:
        entries = _most_frequent_hashes(texts, HASHED[kind], limit, min_count)
    else:
        entries = fitters[kind](texts, limit, min_count)
    if not entries["entries"]:
        raise UserError(f"no word occurs in {min_count} of {len(texts):,} train texts; lower model.min_count or add rows")
    sample = texts[:: -(-len(texts) // LENGTH_SAMPLE_ROWS)]
    most = longest or MAX_LENGTH[kind]
    counts = np.concatenate([(block > 0).sum(1) for block in _blocks(sample, {"kind": kind, "length": most, **entries})])
    usual = int(np.quantile(counts, LENGTH_QUANTILE, method="higher"))
    if not longest and usual > USUAL_LENGTH:
        usual = max(USUAL_LENGTH, int(np.quantile(counts, LONG_LENGTH_QUANTILE, method="higher")))
    return {"kind": kind, "length": min(most, max(8, -(-usual // 8) * 8)), **entries}


def encode(texts: Sequence[str], vocabulary: Vocabulary) -> TokenIds:
    """Token ids (N, length), padded with 0; longer texts are truncated. Of the kind `terms`: `term_counts.encode`."""
    if vocabulary["kind"] == pretrained_encoder.KIND:
        return pretrained_encoder.encode(texts, vocabulary)
    if vocabulary["kind"] == term_counts.KIND:
        return term_counts.encode(texts, vocabulary)
    return np.concatenate([np.zeros((0, vocabulary["length"]), np.int32), *_blocks(texts, vocabulary)])


def word_ids(listed: Sequence[str], vocabulary: Vocabulary) -> TokenIds:
    """The id (N,) of each of these words alone in a vocabulary of hashes, 0 for one that it lacks or that is no single word."""
    codes = _WordCodes()
    single = np.array([words(word) == [word] for word in listed], bool)
    hashes = _mix(np.fromiter((codes[word] for word in listed), np.uint64, len(listed)))
    ids: TokenIds = np.where(single, _look_up(hashes, *_sorted_hashes(vocabulary["entries"])), 0).astype(np.int32)
    return ids


def vocabulary_size(vocabulary: Vocabulary) -> int:
    """The number of rows an embedding needs: the largest id plus 1."""
    return int(vocabulary["count"]) + FIRST_ID[vocabulary["kind"]]


def decode(numbers: Sequence[int], vocabulary: Vocabulary) -> str:
    """The text of subword ids."""
    tokenizer = _tokenizer(vocabulary["entries"])
    return "".join(tokenizer.id_to_token(number) or "" for number in numbers).replace(BEGIN, " ").strip()


def truncate_vocabulary(vocabulary: Vocabulary, rows: int) -> dict[str, Any]:
    """The vocabulary for an embedding of `rows` rows, without the rarest entries. Subwords stay: they consist of each other."""
    kind = vocabulary["kind"]
    count = min(vocabulary["count"], rows - FIRST_ID[kind])
    if kind in ("subwords", pretrained_encoder.KIND) or count == vocabulary["count"]:
        return dict(vocabulary)
    entries = vocabulary["entries"][: 4 * count] if kind in HASHED else " ".join(vocabulary["entries"].split(" ")[:count])
    return {**vocabulary, "count": count, "entries": entries}


FIRST_ID = {"grams": 1, "letters": 1, "characters": 1, "words": 2, "subwords": 2, "features": 2, pretrained_encoder.KIND: 0}
"""The id of the most frequent entry. In `words` and `subwords` id 1 is the unknown token."""


def _blocks(texts: Sequence[str], vocabulary: Vocabulary) -> Iterator[TokenIds]:
    for start in range(0, len(texts), BLOCK_ROWS):
        block = texts[start : start + BLOCK_ROWS]
        length, entries = vocabulary["length"], vocabulary["entries"]
        if vocabulary["kind"] in HASHED:
            hashes, rows = HASHED[vocabulary["kind"]](block)
            numbers = _look_up(hashes, *_sorted_hashes(entries))
            yield _pad(numbers[numbers > 0], rows[numbers > 0], len(block), length)
        elif vocabulary["kind"] == "words":
            number = _word_ids(entries)
            every = [[number.get(word, 1) for word in words(text)[:length]] for text in block]
            rows = np.repeat(np.arange(len(block)), [len(row) for row in every])
            yield _pad(np.array([n for row in every for n in row], np.int32), rows, len(block), length)
        else:
            encodings = _tokenizer(entries).encode_batch([_marked_words(text)[:length] for text in block], is_pretokenized=True)
            rows = np.repeat(np.arange(len(block)), [len(encoding.ids) for encoding in encodings])
            yield _pad(np.array([n for encoding in encodings for n in encoding.ids], np.int32), rows, len(block), length)


def _pad(numbers: TokenIds, rows: NDArray[np.int64], count: int, length: int) -> TokenIds:
    """Token ids and the row of each, in order of rows, as a padded array (count, length)."""
    padded = np.zeros((count, length), np.int32)
    places = np.arange(len(rows)) - np.searchsorted(rows, np.arange(count))[rows]
    padded[rows[places < length], places[places < length]] = numbers[places < length]
    return padded


def _hash_ngrams(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hash of each word and of each word bigram, in their order in the texts, and the row of each."""
    every = [words(text) for text in texts]
    codes = _WordCodes()
    rows = np.repeat(np.arange(len(every)), [len(row) for row in every])
    code = np.fromiter((codes[word] for row in every for word in row), np.uint64, len(rows))
    hashes = np.zeros((len(code), 2), np.uint32)
    hashes[:, 0] = _mix(code)
    hashes[:-1, 1] = _mix(((code[:-1] + np.uint64(1)) << np.uint64(32)) | code[1:])
    pair = np.ones((len(code), 2), bool)
    pair[:, 1] = np.append(rows[:-1] == rows[1:], False)[: len(rows)]
    return hashes[pair], np.repeat(rows[:, None], 2, axis=1)[pair]


def _hash_character_ngrams(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hashes of `_hash_ngrams` of each text, then of the character n-grams of its words, and the row of each."""
    ngram_codes = _CharacterNgramCodes()
    every = [[code for word in words(text) for code in ngram_codes[word]] for text in texts]
    rows = np.repeat(np.arange(len(every)), [len(row) for row in every])
    codes = np.fromiter((code for row in every for code in row), np.uint64, len(rows))
    ngrams, ngram_rows = _hash_ngrams(texts)
    hashes, rows = np.concatenate([ngrams, _mix(codes)]), np.concatenate([ngram_rows, rows])
    order = np.argsort(rows, kind="stable")
    return hashes[order], rows[order]


def _hash_characters(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hashes of the character n-grams of each text, whatever its blanks, and the row of each."""
    codes, rows = character_ngrams.codes(texts)
    return _mix(codes), rows


HASHED: dict[str, HashFunction] = {
    "grams": _hash_ngrams,
    "letters": _hash_character_ngrams,
    character_ngrams.KIND: _hash_characters,
}
"""The kinds whose entries are hashes: functions from texts to hashes and the row of each."""


class _CharacterNgramCodes(dict[str, list[int]]):
    """The codes of a word's character n-grams, cached. None is equal to the code of a word or a bigram."""

    def __missing__(self, word: str) -> list[int]:
        marked = f"<{word}>"
        codes = [
            (length << 60) | crc32(marked[start : start + length].encode("utf-8", "surrogatepass"))
            for length in CHARACTER_NGRAM_LENGTHS
            for start in range(len(marked) - length + 1)
        ]
        self[word] = codes
        return codes


class _WordCodes(dict[str, int]):
    """The CRC-32 of a word, cached."""

    def __missing__(self, word: str) -> int:
        self[word] = code = crc32(word.encode("utf-8", "surrogatepass"))
        return code


def _mix(code: NDArray[np.uint64]) -> Hashes:
    """Uniform hashes of `HASH_BITS` bits (the finalizer of splitmix64)."""
    code = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ (code >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((code ^ (code >> np.uint64(31))) >> np.uint64(64 - HASH_BITS)).astype(np.uint32)


def _most_frequent_hashes(texts: Sequence[str], hash_texts: HashFunction, limit: int, min_count: int) -> dict[str, Any]:
    """The hashes that occur in at least `min_count` texts, in order of frequency, as base64."""
    counts = np.zeros(1 << HASH_BITS, np.int32)
    for start in range(0, len(texts), BLOCK_ROWS):
        hashes, rows = hash_texts(texts[start : start + BLOCK_ROWS])
        once = np.unique((rows.astype(np.uint64) << np.uint64(HASH_BITS)) | hashes) & np.uint64((1 << HASH_BITS) - 1)
        hashes, times = np.unique(once, return_counts=True)
        counts[hashes] += times.astype(np.int32)
    frequent = np.flatnonzero(counts >= min_count)
    ranked = frequent[np.lexsort((frequent, -counts[frequent]))][:limit].astype("<u4")
    packed = ranked.view(np.uint8).reshape(-1, 4)[:, :3]
    return {"count": len(ranked), "entries": b64encode(packed.tobytes()).decode()}


@lru_cache(maxsize=4)
def _sorted_hashes(entries: str) -> tuple[Hashes, TokenIds]:
    """The hashes of a vocabulary, sorted, and the id of each."""
    packed = np.frombuffer(b64decode(entries), np.uint8).reshape(-1, 3)
    ranked = np.pad(packed, ((0, 0), (0, 1))).view("<u4").ravel().astype(np.uint32)
    order = np.argsort(ranked)
    return ranked[order], (order + 1).astype(np.int32)


def _look_up(hashes: Hashes, vocabulary_hashes: Hashes, numbers: TokenIds) -> TokenIds:
    """The id of each hash, 0 for an unknown one."""
    positions = np.minimum(np.searchsorted(vocabulary_hashes, hashes), len(vocabulary_hashes) - 1)
    return np.where(vocabulary_hashes[positions] == hashes, numbers[positions], 0).astype(np.int32)


def _fit_words(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    counts = Counter(word for text in texts for word in set(words(text)))
    ranked = sorted((word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word))[
        :limit
    ]
    return {"count": len(ranked), "entries": " ".join(ranked)}


@lru_cache(maxsize=4)
def _word_ids(entries: str) -> dict[str, int]:
    return {word: number for number, word in enumerate(entries.split(" "), start=FIRST_ID["words"])}


def _fit_subwords(texts: Sequence[str], limit: int, min_count: int) -> dict[str, Any]:
    """A byte-pair encoding of Hugging Face's tokenizers, stored as the text of its tokenizer.json."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=limit, min_frequency=max(2, min_count), special_tokens=[PADDING, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator((" ".join(_marked_words(text)) for text in texts), trainer)
    return {"count": tokenizer.get_vocab_size() - FIRST_ID["subwords"], "entries": tokenizer.to_str()}


def _marked_words(text: str) -> list[str]:
    """The words of a text, each with `BEGIN` before it, so that subwords at the start of a word differ from others."""
    return [BEGIN + word for word in words(text)]


@lru_cache(maxsize=4)
def _tokenizer(entries: str) -> Tokenizer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    return Tokenizer.from_str(entries)
