"""Read .txt files: one text each, in a folder per class, as collections of reviews come; or a line each, in a file per class."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import pandas as pd

from tasks.core.errors import UserError
from tasks.data.layouts import SourceFile
from tasks.data.sampling import evenly_spaced_rows
from tasks.data.splits_in_names import SPLIT_WORDS
from tasks.data.table_files import BLOCK_ROWS

MAX_TEXT_BYTES = 4_000_000
"""A larger file is no single text."""


def read_files(files: Sequence[SourceFile], limit: int) -> Iterator[pd.DataFrame]:
    """One row per file that lies in the folder of a class; at most `limit` of them, evenly spread, 0 for all.

    A byte that is not UTF-8 becomes U+FFFD, which the clean stage quarantines.
    """
    files = [file for file in files if file.label]
    (kept,) = evenly_spaced_rows([len(files)], limit)
    for start in range(0, len(kept), BLOCK_ROWS):
        block = [files[position] for position in kept[start : start + BLOCK_ROWS]]
        yield pd.DataFrame(
            {
                "text": pd.array([_text(file) for file in block], dtype="str"),
                "label": [file.label for file in block],
                "subset": [file.subset for file in block],
                "truth": "",
                "file": [file.name for file in block],
                "row": 0,
                "doubt": "",
            }
        )


def classes_by_file_name(files: Sequence[SourceFile], columns: Collection[str]) -> dict[str, str]:
    """The class of each file by its name without the words for its split; empty where they are one, or lines have columns.

    `columns` are the names of columns by which the first line of a table is known.
    """
    classes = {}
    for file in files:
        words = re.split(r"[\W_]+", file.path.name[: -len(file.path.suffix)])
        classes[file.name] = "_".join(word for word in words if word and word.lower() not in SPLIT_WORDS)
        with file.path.open("rb") as opened:
            first = opened.readline(10_000).decode("utf-8-sig", "replace")
        fields = re.split(r"[,;|\t]", first)
        if "\t" in first or any(field.strip().strip('"').lower() in columns for field in fields):
            return {}
    return classes if len(set(classes.values())) > 1 and all(classes.values()) else {}


def _text(file: SourceFile) -> str:
    size = file.path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise UserError(f"{file.path} has {size:,} bytes; a file of a class is one text of up to {MAX_TEXT_BYTES:,} bytes")
    return file.path.read_bytes().decode("utf-8-sig", "replace").strip()
