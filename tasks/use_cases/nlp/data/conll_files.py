"""Texts tagged word by word, as in CoNLL 2003: a word, its columns and its tag on each line, a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import sources
from tasks.data.table_files import BLOCK_ROWS, read_lines

SUFFIXES = (".conll", ".bio", ".iob", ".iob2", ".ner")
COLUMNS = ("text", "tags", "label", "subset", "truth", "file", "row", "doubt")
DOCUMENT_START = "-DOCSTART-"


def is_conll(path: Path) -> bool:
    """Whether a file is read this way, by its name, or a folder, by the names in it."""
    names = [found.name for found in path.rglob("*")] if path.is_dir() else [path.name]
    return any(name.lower().removesuffix(".gz").endswith(SUFFIXES) for name in names)


def read_path(place: Path, limit: int) -> Iterator[pd.DataFrame]:
    """The sentences of a file, or of a folder of files some of which are named for a split."""
    found = [place] if place.is_file() else [path for path in sources.list_files(place) if is_conll(path)]
    left = limit or None
    for path in found:
        name = path.name if place.is_file() else path.relative_to(place).as_posix()
        subset = sources.split_in_name(name) if place.is_dir() else ""
        for block in _blocks(path):
            frame = pd.DataFrame(block, columns=["text", "tags", "row"])
            frame = frame.assign(label="", subset=subset, truth="", file=name, doubt="")[list(COLUMNS)]
            yield frame.head(left) if left else frame
            left = None if left is None else left - len(frame)
            if left is not None and left <= 0:
                return


def _blocks(path: Path) -> Iterator[list[tuple[str, str, int]]]:
    block: list[tuple[str, str, int]] = []
    for sentence in _sentences(path):
        block.append(sentence)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if not block and not _has_words(path):
        raise UserError(f"{path} holds no sentence; expected lines such as `London B-LOC`, and a blank line after each sentence")
    if block:
        yield block


def _has_words(path: Path) -> bool:
    """Whether there is any line with a word on it."""
    return any(line.strip() for _, line in read_lines(path))


def _sentences(path: Path) -> Iterator[tuple[str, str, int]]:
    """Words and tags joined by blanks, and the line a sentence begins at, from 1."""
    words: list[str] = []
    tags: list[str] = []
    begins, columns = 0, 0
    for number, line in read_lines(path):
        parts = line.split()
        if not parts or parts[0] == DOCUMENT_START:
            if words:
                yield " ".join(words), " ".join(tags), begins
            words, tags = [], []
            continue
        columns = columns or len(parts)
        if len(parts) < 2 or len(parts) != columns:
            raise UserError(
                f"{path}, line {number} has {len(parts)} column{'s' * (len(parts) != 1)}, expected {max(2, columns)}: "
                "a word, perhaps more, and its tag, with blanks or a tab between"
            )
        begins = begins if words else number
        words.append(parts[0])
        tags.append(parts[-1])
    if words:
        yield " ".join(words), " ".join(tags), begins
