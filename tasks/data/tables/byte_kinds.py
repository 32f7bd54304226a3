"""What the bytes of a file that is no UTF-8 text are: another kind of file under a wrong name, or text in another encoding."""

from __future__ import annotations

import re
from collections.abc import Sequence

PICKLE = "a Python pickle, which may run any code and is never opened; save the table as CSV or parquet"
MAGIC = (
    (b"\x1f\x8b", "a gzip file; give it a name that ends in .gz"),
    (b"BZh91AY&SY", "a bzip2 file; give it a name that ends in .bz2"),
    (b"\xfd7zXZ\0", "an xz file; give it a name that ends in .xz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file; unpack it"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet; give it a name that ends in .zip or .xlsx"),
    (b"PAR1", "a parquet file; give it a name that ends in .parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old spreadsheet (.xls); save the sheet as CSV or .xlsx"),
    (b"\x93NUMPY", "a NumPy array; save arrays with names by numpy.savez as .npz"),
    *((bytes((0x80, number)), PICKLE) for number in range(2, 6)),
    (b"SQLite format 3\0", "a SQLite database; export the table as CSV"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; export the table as CSV or parquet"),
    (b"ARROW1\0\0", "a Feather file; save it as parquet"),
    (b"Obj\x01", "an Avro file; save it as parquet"),
    (b"%PDF", "a PDF document; export its table as CSV"),
    (b"{\\rtf", "a Rich Text document; save it as plain text"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"version https://git-lfs.github.com", "a pointer of Git LFS, not the file itself; run git lfs pull"),
)
"""The first bytes of kinds of files that are no table of text, and what to do."""
_PAGE = re.compile(r"\s*(?:<!doctype html|<html|<\?xml|<table)", re.IGNORECASE)
MIN_ZERO_SHARE = 0.3
"""Share of zeros among every other byte from which a file without byte order mark is UTF-16."""
MAX_CONTROL_SHARE = 0.02
"""Share of control characters beyond which bytes are no text in any encoding."""
_CONTROL = bytes({*range(32)} - {9, 10, 12, 13})
_WIDE_PAIR = re.compile(rb"[\x81-\xfe][\x40-\xfe]")


def other_kind(head: bytes) -> str:
    """What a file is, by its first bytes, if it is no text, and what to do about it; else empty."""
    return next((words for magic, words in MAGIC if head.startswith(magic)), "")


def is_arff(head: Sequence[str]) -> bool:
    """Whether the first lines of a text, after comments, declare a relation as ARFF (Weka) does."""
    first = next((line for line in head if line.strip() and not line.startswith("%")), "")
    return first.strip().lower().startswith("@relation")


def is_page(head: str) -> bool:
    """Whether text begins like a page of the web or like XML."""
    return bool(_PAGE.match(head))


def utf16_without_mark(head: bytes) -> str:
    """`utf-16-le` or `utf-16-be` if every other byte of the beginning is often zero, else empty."""
    even, odd = head[0::2], head[1::2]
    if len(odd) < 4:
        return ""
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) >= MIN_ZERO_SHARE * len(zeros) and not others.count(0):
            return encoding
    return ""


def is_binary(data: bytes) -> bool:
    """Whether bytes have more control characters than text of any encoding."""
    return sum(data.count(mark) for mark in _CONTROL) > MAX_CONTROL_SHARE * len(data)


def likely_encoding(data: bytes) -> tuple[str, str]:
    """The encoding in which bytes that are not UTF-8 look like text, and its name in words.

    Chinese, Japanese and Korean by the ranges of their common characters (GB 2312 level 1 has the lead bytes B0 to D7, Hangul B0
    to C8, kana in Shift JIS 82 and 83, Big5 trail bytes below A1), Cyrillic by runs of bytes from C0 on, else Western European.
    """
    high = [byte for byte in data if byte >= 0x80]
    pairs = [match.group() for match in _WIDE_PAIR.finditer(data)]
    if not high:
        return "cp1252", "Windows-1252"
    runs = re.findall(rb"[\xc0-\xff\xa8\xb8]+", data)
    in_words = sum(len(run) for run in runs if len(run) >= 3)
    lower = sum(byte >= 0xE0 for byte in high)
    if lower >= 0.6 * len(high) and in_words >= 0.6 * len(high) and _decodes(data, "cp1251"):
        return "cp1251", "Windows-1251 (Cyrillic)"
    kana = sum(pair[0] in (0x82, 0x83) for pair in pairs)
    below = sum(byte < 0xA0 for byte in high)
    if pairs and (kana >= 0.2 * len(pairs) or below >= 0.2 * len(high)) and _decodes(data, "shift_jis"):
        return "shift_jis", "Shift JIS"
    wide = 2 * len(pairs) >= 0.8 * len(high) and sum(len(run) >= 2 for run in re.findall(rb"[\x80-\xff]+", data))
    if wide:
        trails = sum(pair[1] < 0xA1 for pair in pairs)
        leads = [pair[0] for pair in pairs if pair[1] >= 0xA1]
        if trails >= 0.15 * len(pairs) and below < 0.1 * len(high) and _decodes(data, "big5"):
            return "big5", "Big5 (Chinese)"
        if len(leads) >= 20 and sum(0xB0 <= lead <= 0xC8 for lead in leads) >= 0.95 * len(leads) and _decodes(data, "euc_kr"):
            return "euc_kr", "EUC-KR (Korean)"
        common = sum(0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7 for lead in leads)
        if common >= 0.7 * len(pairs) and _decodes(data, "gb18030"):
            return "gb18030", "GB 18030 (Chinese)"
    return "cp1252", "Latin-1 or Windows-1252"


def _decodes(data: bytes, encoding: str) -> bool:
    """Whether whole lines of the bytes decode."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
