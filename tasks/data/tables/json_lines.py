"""Rows of JSON: one object per line, or one array of objects, whose values stay the text they were written as."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tasks.core.errors import UserError
from tasks.data.tables.columns import check_columns, checked_header
from tasks.data.tables.text_lines import TextLines

HALF_CHARACTER = "half-character: {!r} holds half of a character (a lone surrogate)"


HEADER_OBJECTS = 1000
MAX_ARRAY_CHARACTERS = 500_000_000
"""An array is read as a whole."""


class Nested(str):
    """A list or an object as JSON, which is no text that anybody wrote."""

    __slots__ = ()


class _RepeatedKeyError(ValueError):
    """An object names a key twice."""


def json_records(lines: TextLines, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Any], str]]:
    """The header, then the rows: line, values and doubt. Numbers keep the text they were written as; nested values stay JSON.

    The names of the first `HEADER_OBJECTS` objects are the columns; an object without one of them lacks its value.
    """
    objects = _objects(lines, path)
    first = list(islice(objects, HEADER_OBJECTS))
    if not first:
        raise UserError(f"{path} holds blank lines only; expected one JSON object per line")
    if len(first) == 1 and first[0][2] and all(map(_is_table, first[0][2].values())):
        names = ", ".join(map(repr, first[0][2]))[:80]
        raise UserError(
            f"{path} holds one object around its rows ({names}); expected one object per row: "
            "an array of objects, or an object on each line"
        )
    recognized = dict.fromkeys(name for number, _, record in first for name in _names(path, number, record))
    check_columns(path, list(recognized), columns)
    header = list(columns or recognized)
    yield 0, checked_header(path, header), ""
    for number, text, record in chain(first, objects):
        unknown = [] if columns else [name for name in record if name not in recognized]
        if unknown:
            raise UserError(
                f"{path}, line {number} has {unknown[0]!r}, which none of the first {len(first):,} objects has "
                f"({', '.join(header)[:200]}); give it to one of them, with null where it is unknown"
            )
        yield number, *_values(text, record, header)


def _is_table(value: Any) -> bool:
    """Whether a value is an object, or a list of objects."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _names(path: Path, line: int, record: dict[str, Any]) -> list[str]:
    """The names of an object at a line."""
    for name in record:
        if _repaired(name) != name:
            raise UserError(f"{path}, line {line}: the name {_repaired(name)!r} holds half of a character; rename it")
    return list(record)


def _objects(lines: TextLines, path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The line, the text and the object of each one; numbers are the text they were written as, NaN is missing."""
    source = iter(lines)
    for text in source:
        if not text.strip():
            continue
        if text.lstrip("\ufeff \t\r\n").startswith("["):
            yield from _array(text, source, lines, path)
            return
        yield lines.number, text, _parsed(text, lines, path)


def _array(begin: str, rest: Iterator[str], lines: TextLines, path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The objects of one array, which may go over several lines."""
    text, line, place = begin, lines.number, begin.index("[") + 1
    for more in rest:
        text += more
        if len(text) > MAX_ARRAY_CHARACTERS:
            raise UserError(f"{path} is an array of over {MAX_ARRAY_CHARACTERS:,} characters; write one object per line (.jsonl)")
    seen = 0
    while True:
        start = _skipped(text, place, ", \t\r\n")
        if text[start : start + 1] == "]":
            if text[start + 1 :].strip():
                raise UserError(f"{path}: more follows after its array; expected one array of objects")
            return
        line += text.count("\n", seen, start)
        seen = start
        try:
            record, place = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise UserError(_wrong_json(path, line, "", error, incomplete=lines.is_incomplete)) from None
        yield line, text[start:place], _checked(record, text[start:place], line, path)


def _skipped(text: str, place: int, marks: str) -> int:
    while place < len(text) and text[place] in marks:
        place += 1
    return place


def _parsed(text: str, lines: TextLines, path: Path) -> dict[str, Any]:
    try:
        record = _DECODER.decode(text.rstrip())
    except (ValueError, RecursionError) as error:
        raise UserError(_wrong_json(path, lines.number, text, error, incomplete=lines.is_incomplete)) from None
    return _checked(record, text, lines.number, path)


def _wrong_json(path: Path, line: int, text: str, error: Exception, *, incomplete: bool) -> str:
    if isinstance(error, _RepeatedKeyError):
        return f"{path}, line {line} names {str(error)!r} twice; which one is meant?"
    if text.strip() == "{":
        return f"{path}, line {line}: an object over several lines; expected one object per line, or an array of objects"
    place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    short = "; the file may be cut short" if incomplete else ""
    return f"{path}, line {line}{place} is not JSON: {getattr(error, 'msg', error)}{short}"


def _checked(record: Any, text: str, line: int, path: Path) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise UserError(
            f"{path}, line {line}: expected one object per line, {{…}}, or an array of them, got {text.strip()[:40]!r}"
        )
    return record


def _values(line: str, record: dict[str, Any], header: Sequence[str]) -> tuple[list[str | None], str]:
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


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_constant, object_pairs_hook=_unrepeated)


def _text(value: Any, name: str, line: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return Nested(json.dumps(json.loads(line)[name], ensure_ascii=False))  # with its numbers as numbers
    return json.dumps(value)


def _repaired(text: str) -> str:
    """The text with U+FFFD for each surrogate."""
    return text.encode("utf-8", "replace").decode() if any("\ud800" <= mark <= "\udfff" for mark in text) else text
