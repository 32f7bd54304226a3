"""Rows of JSON Lines: one object per line, whose values stay the text they were written as."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.core.errors import UserError
from tasks.data.tables.text_lines import TextLines

HALF_CHARACTER = "half-character: {!r} holds half of a character (a lone surrogate)"


class Nested(str):
    """A list or an object as JSON, which is no text that anybody wrote."""

    __slots__ = ()


class _RepeatedKeyError(ValueError):
    """An object names a key twice."""


def json_header(path: Path, lines: TextLines, record: dict[str, Any]) -> list[str]:
    """The names of the first object."""
    for name in record:
        if _repaired(name) != name:
            raise UserError(f"{path}, line {lines.number}: the name {_repaired(name)!r} holds half of a character; rename it")
    return list(record)


def json_objects(lines: TextLines, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line that is not blank, and its object; numbers are the text they were written as, NaN is missing."""
    for text in lines:
        if not text.strip():
            continue
        try:
            record = json.loads(
                text.rstrip(), parse_float=str, parse_int=str, parse_constant=_constant, object_pairs_hook=_unrepeated
            )
        except _RepeatedKeyError as error:
            raise UserError(f"{path}, line {lines.number} names {str(error)!r} twice; which one is meant?") from None
        except (ValueError, RecursionError) as error:
            place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            short = "; the file may be cut short" if lines.is_incomplete else ""
            raise UserError(f"{path}, line {lines.number}{place} is not JSON: {getattr(error, 'msg', error)}{short}") from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {lines.number}: expected one object per line, {{…}}, got {text.strip()[:40]!r}")
        yield text, record


def json_values(line: str, record: dict[str, Any], header: Sequence[str]) -> tuple[list[str | None], str]:
    """The values as text, and why the row is in doubt: half a character is replaced by U+FFFD."""
    values, doubt = [], ""
    for name in header:
        value = _text(record.get(name), name, line)
        if value is not None and (whole := _repaired(value)) != value:
            value, doubt = type(value)(whole), HALF_CHARACTER.format(name)
        values.append(value)
    return values, doubt


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(_repaired(next(name for name in names if names.count(name) > 1)))
    return record


def _text(value: Any, name: str, line: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return Nested(json.dumps(json.loads(line)[name], ensure_ascii=False))  # with its numbers as numbers
    return json.dumps(value)


def _repaired(text: str) -> str:
    """The text with U+FFFD for each surrogate."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= mark <= "\udfff" for mark in text) else text
