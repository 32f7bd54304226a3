"""Read files of tagged words: a word, more columns and its tag on each line, as in CoNLL 2003, or tables of them.

A blank line ends a sentence. Lines of comments begin with `#`. Where the first column counts the words of each sentence, as in
CoNLL-U, the second one holds the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import layouts, remarks
from tasks.data.layouts import SourceFile
from tasks.data.table_files import BLOCK_ROWS, read_lines
from tasks.use_cases.nlp.data import tagged_tables

if TYPE_CHECKING:
    from tasks.use_cases.nlp.data.fetch_settings import TextFetch

SUFFIXES = (".conll", ".bio", ".iob", ".iob2", ".ner")
COLUMNS = ("text", "tags", "label", "subset", "truth", "file", "row", "doubt")
MAX_CHECKED_FILES = 8
"""Files whose first sentence is checked before a run."""
DOCUMENT_START, COMMENT = "-DOCSTART-", "#"


def is_conll(path: Path) -> bool:
    """Whether the name of a file, or of a file in a folder, has a CoNLL suffix."""
    names = [entry.name for entry in path.rglob("*")] if path.is_dir() else [path.name]
    return any(name.lower().removesuffix(".gz").endswith(SUFFIXES) for name in names)


def read_path(fetch: TextFetch) -> Iterator[pd.DataFrame]:
    """The sentences of the user's files or folder; a file may be named for a split."""
    layout = _layout(fetch)
    return remarks.attach(_read_files(layout.files, fetch.limit, fetch.layout.reading), layout.remarks)


def check_head(fetch: TextFetch) -> None:
    """Raise a `UserError` for a source without sentences, and for a first sentence without tags."""
    for file in _layout(fetch).files[:MAX_CHECKED_FILES]:
        next(_sentences(file.path, fetch.layout.reading), None)


def _layout(fetch: TextFetch) -> layouts.Layout:
    """The files of the user's own source that hold tagged words."""
    is_data = partial(has_columns, reading=fetch.layout.reading) if fetch.form == "columns" else is_conll
    layout = layouts.read_own(fetch, is_data)
    layouts.check_train(layout, fetch.path or fetch.train)
    return layout


def has_columns(path: Path, reading: Mapping[str, Any]) -> bool:
    """Whether a file may hold columns where the user says that the source does: notes and other tables do not."""
    if path.suffix.lower() in (".csv", ".json", ".jsonl", ".ndjson"):
        return tagged_tables.table_of(path, reading) is not None
    return not path.name.lower().startswith("readme") and path.suffix.lower() not in (".md", ".zip", ".pdf")


def _read_files(files: Sequence[SourceFile], limit: int, reading: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    if not files:
        raise UserError(
            f"no file with a word and its tag on each line; expected names such as train.conll ({', '.join(SUFFIXES)})"
        )
    remaining = limit or None
    for file in files:
        for block in _blocks(file.path, reading):
            frame = pd.DataFrame(block, columns=["text", "tags", "row"])
            frame = frame.assign(label="", subset=file.subset, truth="", file=file.name, doubt="")[list(COLUMNS)]
            yield frame.head(remaining) if remaining else frame
            remaining = None if remaining is None else remaining - len(frame)
            if remaining is not None and remaining <= 0:
                return


def _blocks(path: Path, reading: Mapping[str, Any]) -> Iterator[list[tuple[str, str, int]]]:
    block: list[tuple[str, str, int]] = []
    for sentence in _sentences(path, reading):
        block.append(sentence)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if not block and not _has_words(path):
        raise UserError(f"{path} holds no sentence; expected lines such as `London B-LOC`, and a blank line after each sentence")
    if block:
        yield block


def _has_words(path: Path) -> bool:
    """Whether any line of the file has a word."""
    return any(line.strip() for _, line in read_lines(path))


def _sentences(path: Path, reading: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yields words and tags joined by blanks, and the first line of each sentence, from 1."""
    if table := tagged_tables.table_of(path, reading):
        yield from tagged_tables.read_sentences(path, table, reading)
        return
    words: list[str] = []
    tags: list[str] = []
    seen = set[str]()
    begins, columns, place = 0, 0, _word_column(path)
    for number, line in read_lines(path):
        parts = line.split()
        if not parts or parts[0] == DOCUMENT_START:
            if words:
                yield " ".join(words), " ".join(tags), begins
            words, tags = [], []
            continue
        if parts[0].startswith(COMMENT) and not words and (len(parts) != columns or parts[-1] not in seen):
            continue
        columns = columns or len(parts)
        if len(parts) < 2 or len(parts) != columns:
            raise UserError(
                f"{path}, line {number} has {len(parts)} column{'s' * (len(parts) != 1)}, expected {max(2, columns)}: "
                "a word, perhaps more, and its tag, with blanks or a tab between"
            )
        begins = begins if words else number
        words.append(parts[place])
        tags.append(parts[-1])
        seen.add(parts[-1])
    if words:
        yield " ".join(words), " ".join(tags), begins


def _word_column(path: Path) -> int:
    """The column of the words: 1 where column 0 of three counts the words of the first sentence of several, else 0."""
    first = list[str]()
    for _, line in read_lines(path):
        parts = line.split()
        if parts and not line.startswith((COMMENT, DOCUMENT_START)):
            first.append(parts[0] if len(parts) > 2 else "")
        elif not parts and len(first) > 1:
            break
        elif not parts:
            first = []
    return int(len(first) > 1 and first == [str(place) for place in range(1, len(first) + 1)])
