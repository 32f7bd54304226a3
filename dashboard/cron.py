"""A cron line in words, for the schedules that people write; what is wrong with one; the line itself for the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dashboard import figures

NUMBER = re.compile(r"\d{1,2}")
PART = re.compile(r"(?P<first>\*|\d{1,2})(-(?P<last>\d{1,2}))?(/(?P<step>\d{1,2}))?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five parts of a line: its name, its bounds, and the words that stand for its numbers from `low` on."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("weekday", 0, 7, DAYS),
)


def fault(line: str) -> tuple[str, dict[str, str]] | None:
    """The catalogue key that says what is wrong with a line, and what to put in; None if it can be kept."""
    words = line.split()
    if len(words) != len(FIELDS):
        return "cron.fields", {"count": str(len(words))}
    for field, word in zip(FIELDS, words, strict=True):
        if not all(_right(field, part) for part in word.lower().split(",")):
            return "cron.wrong", {"field": field.name, "word": word, "low": str(field.low), "high": str(field.high)}
    return None


def _right(field: Field, part: str) -> bool:
    for number, word in enumerate(field.words, field.low):
        part = re.sub(rf"\b{word}\b", str(number), part)
    found = PART.fullmatch(part)
    if not found or (found["first"] == "*" and found["last"]):
        return False
    numbers = [int(found[name]) for name in ("first", "last") if found[name] not in (None, "*")]
    in_bounds = all(field.low <= number <= field.high for number in numbers)
    return in_bounds and numbers == sorted(numbers) and found["step"] not in ("0", "00")


def in_words(line: str) -> tuple[str, dict[str, str]]:
    """The catalogue key that says when, and what to put in: `cron.daily` with `time`, and so on."""
    fields = line.split()
    if len(fields) != len(FIELDS):
        return "cron.other", {"line": figures.escape(line, 80)}
    minute, hour, day, month, weekday = fields
    if minute.startswith("*/") and (hour, day, month, weekday) == ("*",) * 4 and NUMBER.fullmatch(minute[2:]):
        return "cron.minutes", {"count": minute[2:]}
    if NUMBER.fullmatch(minute) and (hour, day, month, weekday) == ("*",) * 4:
        return "cron.hourly", {"minute": f"{int(minute):02}"}
    if not (NUMBER.fullmatch(minute) and NUMBER.fullmatch(hour)) or month != "*":
        return "cron.other", {"line": figures.escape(line, 80)}
    time = f"{int(hour):02}:{int(minute):02}"
    if (day, weekday) == ("*", "*"):
        return "cron.daily", {"time": time}
    if day == "*" and weekday in ("1-5", "MON-FRI", "mon-fri"):
        return "cron.weekdays", {"time": time}
    if day == "*" and re.fullmatch(r"[0-7]", weekday):
        return "cron.weekly", {"time": time, "day": str(int(weekday) % 7)}
    if weekday == "*" and NUMBER.fullmatch(day):
        return "cron.monthly", {"time": time, "day": day}
    return "cron.other", {"line": figures.escape(line, 80)}
