"""Read CoNLL 2003 files: a word, more columns and its tag on each line, and a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import layouts, remarks
from tasks.data.layouts import SourceFile
from tasks.data.table_files import BLOCK_ROWS, read_lines

if TYPE_CHECKING:
    from tasks.use_cases.nlp.data.fetch_settings import TextFetch

SUFFIXES = (".conll", ".bio", ".iob", ".iob2", ".ner")
COLUMNS = ("text", "tags", "label", "subset", "truth", "file", "row", "doubt")
MAX_CHECKED_FILES = 8
"""Files whose first sentence is checked before a run."""
DOCUMENT_START = "-DOCSTART-"


def is_conll(path: Path) -> bool:
    """Whether the name of a file, or of a file in a folder, has a CoNLL suffix."""
    names = [entry.name for entry in path.rglob("*")] if path.is_dir() else [path.name]
    return any(name.lower().removesuffix(".gz").endswith(SUFFIXES) for name in names)


def read_path(fetch: TextFetch) -> Iterator[pd.DataFrame]:
    """The sentences of the user's files or folder; a file may be named for a split."""
    layout = layouts.read_own(fetch, lambda path: is_conll(path) or (fetch.form == "columns" and has_columns(path)))
    layouts.check_train(layout, fetch.path or fetch.train)
    return remarks.attach(_read_files(layout.files, fetch.limit), layout.remarks)


def check_head(fetch: TextFetch) -> None:
    """Raise a `UserError` for a source without sentences, and for a first sentence without tags."""
    layout = layouts.read_own(fetch, lambda path: is_conll(path) or (fetch.form == "columns" and has_columns(path)))
    layouts.check_train(layout, fetch.path or fetch.train)
    for file in layout.files[:MAX_CHECKED_FILES]:
        next(_sentences(file.path), None)


def has_columns(path: Path) -> bool:
    """Whether a file may hold columns where the user says that the source does: notes and tables do not."""
    return not path.name.lower().startswith("readme") and path.suffix.lower() not in (".md", ".csv", ".json", ".zip", ".pdf")


def _read_files(files: Sequence[SourceFile], limit: int) -> Iterator[pd.DataFrame]:
    if not files:
        raise UserError(
            f"no file with a word and its tag on each line; expected names such as train.conll ({', '.join(SUFFIXES)})"
        )
    remaining = limit or None
    for file in files:
        for block in _blocks(file.path):
            frame = pd.DataFrame(block, columns=["text", "tags", "row"])
            frame = frame.assign(label="", subset=file.subset, truth="", file=file.name, doubt="")[list(COLUMNS)]
            yield frame.head(remaining) if remaining else frame
            remaining = None if remaining is None else remaining - len(frame)
            if remaining is not None and remaining <= 0:
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
    """Whether any line of the file has a word."""
    return any(line.strip() for _, line in read_lines(path))


def _sentences(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yields words and tags joined by blanks, and the first line of each sentence, from 1."""
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
