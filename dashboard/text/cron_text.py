"""Describe common cron expressions in words, and validate them; other expressions are shown as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from dashboard.text import formatting

NUMBER = re.compile(r"\d{1,2}")
PART = re.compile(r"(?P<first>\*|\d{1,2})(-(?P<last>\d{1,2}))?(/(?P<step>\d{1,2}))?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WORKING_DAYS = (1, 2, 3, 4, 5)
EVERY_DAY = (1, 2, 3, 4, 5, 6, 0)


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields of a cron expression: its name, its bounds, and the words for its numbers from `low` on."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """A description: its catalogue key, placeholder values, and the days and times that it lists."""

    key: str
    values: dict[str, str] = field(default_factory=dict)
    days: tuple[int, ...] = ()
    """Days of the week, Sunday is 0."""
    at: tuple[str, ...] = ()
    """Times of day."""
    times: Description | None = None
    """The description of the times on those days."""


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("weekday", 0, 7, DAYS),
)


def find_error(line: str) -> tuple[str, dict[str, str]] | None:
    """Catalogue key and placeholder values of the error in a cron expression; None if it is valid."""
    words = line.split()
    if len(words) != len(FIELDS):
        return "cron.fields", {"count": str(len(words))}
    for part, word in zip(FIELDS, words, strict=True):
        if not all(_is_valid(part, each) for each in word.lower().split(",")):
            return "cron.wrong", {"field": part.name, "word": word, "low": str(part.low), "high": str(part.high)}
    return None


def next_time(line: str, zone: str, now: datetime) -> datetime | None:
    """The first time after `now` at which a valid cron expression starts something, in its zone; None where there is none."""
    if find_error(line):
        return None
    try:
        return next(CronSim(line, now.astimezone(ZoneInfo(zone or "UTC"))), None)
    except (CronSimError, ZoneInfoNotFoundError, ValueError):
        return None


def _is_valid(field: Field, part: str) -> bool:
    match = PART.fullmatch(_names_to_numbers(field, part))
    if not match or (match["first"] == "*" and match["last"]):
        return False
    numbers = [int(match[name]) for name in ("first", "last") if match[name] not in (None, "*")]
    in_bounds = all(field.low <= number <= field.high for number in numbers)
    return in_bounds and numbers == sorted(numbers) and match["step"] not in ("0", "00")


def describe(line: str) -> Description:
    """Description of a cron expression; the expression itself where it is an uncommon one."""
    fields = line.split()
    if find_error(line):
        return Description("cron.other", {"line": formatting.escape(line, 80)})
    minute, hour, day, month, weekday = fields
    always = (hour, day, month, weekday) == ("*",) * 4
    if always and minute.startswith("*/"):
        return Description("cron.minutes", {"count": minute[2:]})
    if always and NUMBER.fullmatch(minute):
        return Description("cron.hourly", {"minute": f"{int(minute):02}"})
    days, times = _days(weekday), _times(minute, hour)
    if month != "*" or times is None or days is None or (day != "*" and (weekday != "*" or not NUMBER.fullmatch(day))):
        return Description("cron.other", {"line": formatting.escape(line, 80)})
    if day != "*":
        return Description("cron.monthly", {"day": day}, times=times)
    if days == EVERY_DAY:
        return times if times.key == "cron.hours" else Description("cron.daily", times=times)
    if days == WORKING_DAYS:
        return Description("cron.weekdays", times=times)
    return Description("cron.weekly", days=days, times=times)


def _times(minute: str, hour: str) -> Description | None:
    """Description of the times of day; None where it is too complex."""
    if not NUMBER.fullmatch(minute):
        return None
    if step := re.fullmatch(r"\*/(\d+)", hour):
        return Description("cron.hours", {"count": step[1], "first": _clock(0, minute)})
    if span := re.fullmatch(r"(\d+)-(\d+)", hour):
        return Description("cron.span", {"first": _clock(span[1], minute), "last": _clock(span[2], minute)})
    listed = hour.split(",")
    if not all(NUMBER.fullmatch(each) for each in listed):
        return None
    return Description("cron.at", at=tuple(_clock(each, minute) for each in sorted(listed, key=int)))


def _days(weekday: str) -> tuple[int, ...] | None:
    """Days of the week, Sunday is 0, Monday first; None for expressions with steps."""
    days: set[int] = set()
    for part in _names_to_numbers(FIELDS[4], weekday.lower()).split(","):
        if part == "*":
            return EVERY_DAY
        ends = part.split("-")
        if not all(end.isdigit() for end in ends):
            return None
        days |= {day % 7 for day in range(int(ends[0]), int(ends[-1]) + 1)}
    return tuple(sorted(days, key=lambda day: (day - 1) % 7))


def _clock(hour: str | int, minute: str) -> str:
    return f"{int(hour):02}:{int(minute):02}"


def _names_to_numbers(field: Field, part: str) -> str:
    for number, word in enumerate(field.words, field.low):
        part = re.sub(rf"\b{word}\b", str(number), part)
    return part
