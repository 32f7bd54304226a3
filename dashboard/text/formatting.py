"""How numbers, times and other people's words are written: with units, with intervals, and never as markup."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime, tzinfo

NOTHING = "–"
_LINKING = re.compile(r"([\\\[\]<$])")
LEAST_CHANCE = 0.0001
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&=])")


def clean(words: object, most: int = 300) -> str:
    """Words of unknown origin on one line: control and direction characters made harmless, no longer than `most`."""
    found = str(words)[: most + 1]
    found = "".join(" " if char in "\r\n\t" else "�" if _odd(char) else char for char in found)
    return found if len(found) <= most else f"{found[: most - 1]}…"


def escape(words: object, most: int = 300) -> str:
    """The same, safe to put into Markdown."""
    return _MARKUP.sub(r"\\\1", clean(words, most))


def code(words: object, most: int = 120) -> str:
    """The same, set as code in Markdown."""
    return "`" + clean(words, most).replace("`", "'") + "`"


def prose(words: str) -> str:
    """Markdown of unknown origin: headings, lists, tables and emphasis stay; pictures, links and HTML are shown as written."""
    return "\n".join(_LINKING.sub(r"\\\1", clean(line, len(line))) for line in words.split("\n"))


def sentence(words: str) -> str:
    """The same, begun with a capital letter if it begins with a word; a name such as `train@vision` or `a.b` stays as it is."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() else words


def number(value: object, digits: int = 3) -> str:
    """Four digits that count, thousands apart: 12,345 or 0.987."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) >= 1000 and float(value).is_integer()):
        return f"{value:,.0f}"
    if value and (abs(value) < 10**-digits or abs(value) >= 1e6):
        return f"{value:.{digits}g}"
    return f"{value:,.{digits}f}"


def chance(p: object) -> str:
    """The p-value of a test, which is never nothing."""
    if not isinstance(p, int | float) or not math.isfinite(p):
        return NOTHING
    return f"< {LEAST_CHANCE}" if p < LEAST_CHANCE else f"{p:.4f}"


def percent(value: object, digits: int = 1) -> str:
    """A share 0..1 as a percentage."""
    return f"{value * 100:.{digits}f} %" if isinstance(value, int | float) and math.isfinite(value) else NOTHING


def interval(low: object, high: object, digits: int = 3) -> str:
    """Both ends of an interval, as in [0.981, 0.990]."""
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
    """Seconds as people say them: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.0995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def milliseconds(value: object) -> str:
    """A latency."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    return f"{value:.3f} ms" if value < 1 else f"{value:.2f} ms" if value < 10 else f"{value:,.1f} ms"


def moment(at: object) -> datetime | None:
    """A recorded time (ISO, UTC), or None where there is none that can be read."""
    if not isinstance(at, str) or not at:
        return None
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def clock(at: object, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """A recorded time in the reader's zone: 22 Nov 14:03."""
    found = moment(at)
    return f"{found.astimezone(zone or UTC):{'%Y-%m-%d %H:%M:%S' if seconds else '%d %b %H:%M'}}" if found else NOTHING


def seconds_between(start: object, end: object) -> float | None:
    """How long it took from one recorded time to another."""
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def neutral(cell: object) -> object:
    """A cell for a CSV file that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _odd(char: str) -> bool:
    """Whether the character is invisible and moves others about."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char not in "\u200c\u200d"
