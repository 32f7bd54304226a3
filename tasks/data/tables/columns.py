"""Names of columns: those that are asked for must be there, those of a header must differ, and some belong to the reader."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tasks.core.errors import UserError

UNNAMED = "unnamed "
"""The name of a column without one is this and its position, as in "unnamed 1"."""
ORIGIN_COLUMNS = ("file", "row", "doubt")
"""Columns that the reader adds: where a row was found, and why it may be wrong."""


def check_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise a `UserError` for the first of `columns` that is not in `names`, with the nearest name."""
    for column in columns:
        if column not in names:
            near = get_close_matches(column, names, n=1) or [name for name in names if name.lower() == column.lower()]
            hint = f"did you mean {near[0]!r}? It" if near else "it"
            has = ", ".join(name if len(name) <= 40 else name[:40] + "…" for name in names)
            raise UserError(f"{path} has no column {column!r}; {hint} has {has}")


def checked_header(path: Path, header: Sequence[str]) -> list[str]:
    """The names without blanks around them, other ones for reserved names. Raises a `UserError` for two that are equal."""
    names: dict[str, None] = {}
    for position, name in enumerate(header, start=1):
        name = unreserved(name.strip() or f"{UNNAMED}{position}")
        if name in names:
            raise UserError(f"{path}: two columns of the header are named {name!r}; rename one")
        names[name] = None
    return list(names)


def unreserved(name: str) -> str:
    """The name of a column of a file: another one for those in which rows say where they were found."""
    return f"{name} (column)" if name in ORIGIN_COLUMNS else name
