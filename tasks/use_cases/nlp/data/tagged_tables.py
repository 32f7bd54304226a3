"""Tagged texts in other files than those of CoNLL: tables with a row per word, JSON with lists, and columns of any name.

Such sources are found by their content, before a run: what is found is set as `fetch.form` and not looked for again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import UserError
from tasks.data import sources
from tasks.data.table_files import NESTED, read_table
from tasks.data.tables.text_lines import decompressed

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
WORD_COLUMNS = ("word", "token", "words", "tokens", "form")
TAG_COLUMNS = ("ner_tags", "ner_tag", "tag", "tags", "ner", "iob", "bio", "entity", "label", "labels")
SENTENCE_COLUMNS = (
    *("sentence #", "sentence", "sentence_id", "sentence_idx", "sentence id", "sentence number", "sentence_number"),
    *("sent_id", "sent", "sentenceid", "sid"),
)
COLUMN_TAG = re.compile(r"O|[BIESLUM]-\S+")
"""A tag as files of columns have it: outside of names, or inside of one of a kind."""
HEAD_BYTES, MAX_LINES, MIN_LINES = 100_000, 300, 3
"""Bytes and lines of a file that are looked at, and the fewest lines that tell something."""
MAX_FILES = 8
"""Files of a source that are looked at."""
MARKS_OF_COMMENTS = ("#", "-DOCSTART-")


@dataclass(frozen=True, slots=True)
class TaggedTable:
    """The columns of a table of tagged words; each row holds a word of a `sentence`, or lists with all of one."""

    word: str
    tag: str
    sentence: str = ""


def looks_tagged(place: str, reading: Mapping[str, Any]) -> bool:
    """Whether one of the first files of a source, a folder or a pattern holds tagged words, by its content."""
    paths = [file for path in sources.matching_paths(place) for file in ([path] if path.is_file() else sources.list_files(path))]
    files = [path for path in paths if not path.name.lower().startswith(("readme", "license"))]
    return any(table_of(path, reading) or _has_tagged_lines(path) for path in files[:MAX_FILES])


def _has_tagged_lines(path: Path) -> bool:
    """Whether the first lines have equally many fields, the last of which is a tag, and blank lines between sentences."""
    if path.name.lower().removesuffix(".gz").endswith((*SUFFIXES[:1], *SUFFIXES[2:])):
        return False
    with decompressed(path) as file:
        lines = file.read(HEAD_BYTES).decode("utf-8", "replace").splitlines()[:MAX_LINES]
    rows = [line.split() for line in lines[:-1] if line.strip() and not line.startswith(MARKS_OF_COMMENTS)]
    is_alike = len(rows) >= MIN_LINES and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1
    tags = {row[-1] for row in rows} if is_alike else set()
    return len(tags) > 1 and all(COLUMN_TAG.fullmatch(tag) for tag in tags) and any(not line.strip() for line in lines[1:])


def table_of(path: Path, reading: Mapping[str, Any]) -> TaggedTable | None:
    """The columns of a table with a row per word or per sentence; None for other files. `reading` is that of `read_table`."""
    if not path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
        return None
    block = next(read_table(path, **reading))
    names = [str(name) for name in block.columns]
    word, tag, sentence = (_first(names, usual) for usual in (WORD_COLUMNS, TAG_COLUMNS, SENTENCE_COLUMNS))
    if word and tag and {word, tag} <= set(block.attrs.get(NESTED, {})):
        return TaggedTable(word, tag)
    return TaggedTable(word, tag, sentence) if word and tag and sentence else None


def _first(names: Sequence[str], usual: Sequence[str]) -> str:
    by_name = {name.strip().lower(): name for name in reversed(names)}
    return next((by_name[name] for name in usual if name in by_name), "")


def read_sentences(path: Path, table: TaggedTable, reading: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yields words and tags joined by blanks, and the line of each sentence, from 1. A row without a tag has the tag O."""
    words, tags = list[str](), list[str]()
    begins, current = 0, ""
    for block in read_table(path, [table.word, table.tag, *([table.sentence] if table.sentence else [])], **reading):
        cells = {name: block[name].fillna("").astype(str).to_list() for name in (table.word, table.tag)}
        marks = block[table.sentence].fillna("").astype(str).to_list() if table.sentence else [""] * len(block)
        for line, word, tag, mark in zip(block["row"], cells[table.word], cells[table.tag], marks, strict=True):
            if not table.sentence:
                yield (*_lists(path, line, word, tag), int(line))
                continue
            if mark.strip() and mark != current:
                current = mark
                if words:
                    yield " ".join(words), " ".join(tags), begins
                words, tags = [], []
            if word.strip():
                begins = begins if words else int(line)
                words.append("_".join(word.split()))
                tags.append(_name(path, line, tag))
    if words:
        yield " ".join(words), " ".join(tags), begins


def _lists(path: Path, line: int, words: str, tags: str) -> tuple[str, str]:
    """The words and the tags of one sentence, each as one text."""
    listed: list[Any] = [json.loads(text) if text.startswith("[") else None for text in (words, tags)]
    if not all(isinstance(each, list) for each in listed) or len(listed[0]) != len(listed[1]):
        raise UserError(
            f"{path}, line {line}: expected a list of words and a list with as many tags, got {words[:40]} and {tags[:40]}"
        )
    named = [_name(path, line, str(tag)) for tag in listed[1]]
    return " ".join("_".join(str(word).split()) or "_" for word in listed[0]), " ".join(named)


def _name(path: Path, line: int, tag: str) -> str:
    if tag.strip().isdigit():
        raise UserError(f"{path}, line {line}: the tag {tag.strip()!r} is a number; write the names of tags, such as B-PER and O")
    return "_".join(tag.split()) or "O"
