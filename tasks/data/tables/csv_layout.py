"""How a CSV file is laid out: its separator, lines before the header, blanks after separators; found from its first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MARKS = (",", ";", "\t", "|")
MAX_RECORDS = 50
"""Records at the beginning of a file that show its layout."""
MIN_SHARE = 0.9
"""Share of the records with as many fields as the header from which a mark is the separator; the others are errors."""
MAX_SKIPPED = 20
"""The most lines before the header."""
COMMENT_MARKS = ("#", "//", "%")
"""What a line before the header may begin with, if it has not as many fields as the rows."""
MIN_BLANK_LINES = 3
"""Lines that runs of blanks must split into equally many fields, all of them, for blanks to be the separator."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "blanks"}


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """The layout of one file, and sentences on what was found."""

    separator: str
    skipped: int = 0
    """Lines before the header."""
    spaced: bool = False
    """Whether blanks after a separator are no part of the value."""
    unnamed: int = 0
    """The position, from 1, of a column for which the header has no name and no place; 0 if there is none."""
    remarks: tuple[str, ...] = ()


def find_layout(lines: Sequence[str], usual: str, explicit: str = "", columns: int = 0) -> CsvLayout:
    """The layout of a file by its first lines: `told` is the separator if set, `usual` that of its kind of file.

    `columns` is the number of columns of a file without a header, else 0. A line such as `sep=;` is obeyed.
    """
    skipped, remarks, separator = 0, [], explicit
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[0].strip("\ufeff\r"))):
        skipped, separator = 1, explicit or match[1]
    comments = _comments(lines[skipped:])
    if not separator:
        separator = _find_separator(lines[skipped + comments :], usual, columns)
    if separator != usual and not explicit:
        remarks.append(f"columns are split by {NAMES.get(separator, repr(separator))}")
    if comments and len(_fields(lines[skipped + comments - 1], separator)) == len(_fields(lines[skipped + comments], separator)):
        comments -= 1  # the last of them is the header
    before = comments or (0 if columns else _lines_before_header(lines[skipped:], separator))
    if before:
        remarks.append(f"{before} line{'s' * (before > 1)} before the header left out ({lines[skipped][:60]!r})")
    spaced = separator == " " or (
        separator != "\t" and any(re.search(re.escape(separator) + ' +"', line) for line in lines[skipped + before :])
    )
    unnamed = 0 if columns else _unnamed_column(lines[skipped + before :], separator)
    return CsvLayout(separator, skipped + before, spaced, unnamed, tuple(remarks))


def _comments(lines: Sequence[str]) -> int:
    """The number of lines at the beginning that are marked as comments, if others follow."""
    count = next((place for place, line in enumerate(lines) if not line.startswith(COMMENT_MARKS)), 0)
    return count if count <= MAX_SKIPPED else 0


def _fields(line: str, separator: str) -> list[str]:
    return next(iter(record for _, record in _records([line], separator)), [])


def _find_separator(lines: Sequence[str], usual: str, columns: int) -> str:
    """The usual separator if it splits the lines, else the mark that splits all of them alike."""
    counts = {mark: [len(record) for _, record in _records(lines, mark)] for mark in dict.fromkeys((usual, *MARKS))}
    if columns:
        shares = {mark: _share(sizes, columns) for mark, sizes in counts.items() if sizes}
        best = max(shares, key=lambda mark: shares[mark], default=usual)
        return best if shares.get(best, 0) >= MIN_SHARE else usual
    several = {mark: sizes for mark, sizes in counts.items() if sizes and sizes[-1] > 1}
    alike = {mark: sizes[0] for mark, sizes in several.items() if sizes[0] > 1 and _share(sizes, sizes[0]) >= MIN_SHARE}
    alike = alike or {mark: sizes[0] for mark, sizes in several.items() if _unnamed_column(lines, mark)}
    if not alike:  # lines before the header: the mark that splits the earliest of them
        late = {mark: _single_fields(sizes) for mark, sizes in several.items() if _is_alike(sizes)}
        alike = {mark: several[mark][-1] for mark in late if late[mark] == min(late.values())}
    if not alike and _split_by_blanks(lines):
        return " "
    return usual if usual in alike or not alike else max(alike, key=lambda mark: alike[mark])


def _split_by_blanks(lines: Sequence[str]) -> bool:
    """Whether runs of blanks split all lines into equally many fields, some of them numbers."""
    rows = [line.split() for line in lines[:MAX_RECORDS] if line.strip()]
    numbers = rows and any(_NUMBER.fullmatch(field) for field in rows[-1])
    return len(rows) >= MIN_BLANK_LINES and bool(numbers) and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _unnamed_column(lines: Sequence[str], separator: str) -> int:
    """The position of one column that the header leaves out: R counts rows in front, and some end each row with a separator."""
    header, *rows = [record for _, record in _records(lines, separator)] or [[]]
    if len(header) < 2 or len(rows) < 2 or {len(row) for row in rows} != {len(header) + 1}:
        return 0
    if not any(row[-1].strip() for row in rows):
        return len(header) + 1
    return 1 if [row[0].strip() for row in rows] == [str(place) for place in range(1, len(rows) + 1)] else 0


def _share(sizes: Sequence[int], size: int) -> float:
    return sizes.count(size) / len(sizes)


def _is_alike(sizes: Sequence[int]) -> bool:
    """Whether all records have the same number of fields, but for lines of one field before the header."""
    return sum(size != sizes[-1] for size in sizes) == _single_fields(sizes)


def _single_fields(sizes: Sequence[int]) -> int:
    """The number of records with one field at the beginning."""
    return next((place for place, size in enumerate(sizes) if size != 1), 0)


def _lines_before_header(lines: Sequence[str], separator: str) -> int:
    """The number of lines with one field each that stand before a header of names with more fields."""
    records = list(_records(lines, separator))
    usual = Counter(len(record) for _, record in records).most_common(1)[0][0] if records else 1
    if usual == 1 or len(records) < 2 or len(records[0][1]) != 1:
        return 0
    for place, (line, record) in enumerate(records[:MAX_SKIPPED]):
        if len(record) == usual:
            named = all(name.strip() and not _NUMBER.fullmatch(name.strip()) for name in record)
            return line if named and place + 1 < len(records) else 0
        if len(record) != 1:
            break
    return 0


def _records(lines: Sequence[str], separator: str) -> list[tuple[int, list[str]]]:
    """The first records, without blank lines, each with the number of lines before it."""
    ends = " \r\n" if separator == " " else ""
    reader = csv.reader((line.rstrip(ends) + "\n" for line in lines), delimiter=separator, skipinitialspace=True)
    records, before = [], 0
    try:
        for record in reader:
            if record:
                records.append((before, record))
            before = reader.line_num
            if len(records) == MAX_RECORDS:
                break
    except csv.Error:
        pass  # the reader of the whole file says what is wrong
    return records
