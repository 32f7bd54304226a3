"""Format numbers, times and untrusted text: with units and intervals, and never as markup."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

NOTHING = "–"
_LINK_CHARS = re.compile(r"([\\\[\]<$])")
SMALLEST_P = 0.0001
_MARKUP_CHARS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&=])")


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""The names of months in English, whatever the locale of the server."""
UNITS = {
    "en": {"ms": "ms", "s": "s", "min": "min", "h": "h"},
    "zh": {"ms": "毫秒", "s": "秒", "min": "分", "h": "小时"},
}
"""The words for units of time by language."""
_LANGUAGE: list[Callable[[], str]] = [lambda: "en"]
"""Who knows the reader's language; the pages set it, as this module knows no pages."""


def use_language_of(reader: Callable[[], str]) -> None:
    """Take the language of units and dates from this function."""
    _LANGUAGE[0] = reader


def _language() -> str:
    language = _LANGUAGE[0]()
    return language if language in UNITS else "en"


def clean(words: object, max_length: int = 300) -> str:
    """Untrusted text on one line of at most `max_length` characters, with control and direction characters replaced."""
    line = str(words)[: max_length + 1]
    line = "".join(" " if char in "\r\n\t" else "�" if _is_invisible(char) else char for char in line)
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"


def escape(words: object, max_length: int = 300) -> str:
    """The same, escaped for Markdown."""
    return _MARKUP_CHARS.sub(r"\\\1", clean(words, max_length))


def code(words: object, max_length: int = 120) -> str:
    """The same, as a Markdown code span."""
    return "`" + clean(words, max_length).replace("`", "'") + "`"


def safe_markdown(words: str) -> str:
    """Untrusted Markdown: headings, lists, tables and emphasis stay; images, links and HTML are escaped."""
    return "\n".join(_LINK_CHARS.sub(r"\\\1", clean(line, len(line))) for line in words.split("\n"))


def capitalized(words: str) -> str:
    """The text with a capital first letter if it begins with a word; a name such as `train@vision` or `a.b` is unchanged."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() else words


def number(value: object, digits: int = 3) -> str:
    """A number with thousands separators and up to `digits` decimals: 12,345 or 0.987."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) >= 1000 and float(value).is_integer()):
        return f"{value:,.0f}"
    if value and (abs(value) < 10**-digits or abs(value) >= 1e6):
        return f"{value:.{digits}g}"
    return f"{value:,.{digits}f}"


def significant(value: object, digits: int = 4) -> str:
    """A number of any unit with thousands separators and `digits` significant digits, and all digits before the point."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return NOTHING
    exponent = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, digits - 1 - exponent)}f}" if -digits <= exponent <= 12 else f"{value:.{digits}g}"


def p_value(p: object) -> str:
    """A p-value with four decimals; a smaller one as an upper bound, never 0."""
    if not isinstance(p, int | float) or not math.isfinite(p):
        return NOTHING
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.4f}"


def percent(value: object, digits: int = 1) -> str:
    """A share (0..1) as a percentage."""
    return f"{value * 100:.{digits}f} %" if isinstance(value, int | float) and math.isfinite(value) else NOTHING


def interval(low: object, high: object, digits: int = 3) -> str:
    """An interval such as [0.981, 0.990]."""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def size(count: object) -> str:
    """Bytes in decimal units."""
    if not isinstance(count, int | float) or not math.isfinite(count):
        return NOTHING
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def duration(seconds: object) -> str:
    """A duration in seconds with fitting units: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.0995:
        return f"{max(seconds, 0) * 1000:.0f} {UNITS[_language()]['ms']}"
    if seconds < 9.95:
        return f"{seconds:.1f} {UNITS[_language()]['s']}"
    whole, unit = round(seconds), UNITS[_language()]
    if whole < 60:
        return f"{whole} {unit['s']}"
    if whole < 3600:
        return f"{whole // 60} {unit['min']} {whole % 60} {unit['s']}"
    return f"{whole // 3600} {unit['h']} {whole % 3600 // 60} {unit['min']}"


def milliseconds(value: object) -> str:
    """A latency in milliseconds."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    digits = 3 if value < 1 else 2 if value < 10 else 1
    return f"{value:,.{digits}f} {UNITS[_language()]['ms']}"


def parse_time(at: object) -> datetime | None:
    """Parse a recorded time (ISO 8601, UTC); None if it is missing or invalid."""
    if not isinstance(at, str) or not at:
        return None
    try:
        parsed = datetime.fromisoformat(at)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def local_time(at: object, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """A recorded time in the user's time zone: 22 Nov 14:03, in Chinese 11月22日 14:03."""
    parsed = parse_time(at)
    if parsed is None:
        return NOTHING
    here = parsed.astimezone(zone or UTC)
    if seconds:
        return f"{here:%Y-%m-%d %H:%M:%S}"
    return (
        f"{here.month}月{here.day}日 {here:%H:%M}"
        if _language() == "zh"
        else f"{here.day:02} {MONTHS[here.month - 1]} {here:%H:%M}"
    )


def seconds_between(start: object, end: object) -> float | None:
    """Seconds between two recorded times; None if one is missing."""
    first, last = parse_time(start), parse_time(end)
    return (last - first).total_seconds() if first and last else None


def csv_cell(cell: object) -> object:
    """A CSV cell that no spreadsheet evaluates as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _is_invisible(char: str) -> bool:
    """Whether the character is invisible or changes the text direction."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char not in "\u200c\u200d"
