"""A cron line in words, for the schedules that people write; the line itself for the others."""

from __future__ import annotations

import re

from dashboard import figures

NUMBER = re.compile(r"\d{1,2}")
FIELDS = 5


def in_words(line: str) -> tuple[str, dict[str, str]]:
    """The catalogue key that says when, and what to put in: `cron.daily` with `time`, and so on."""
    fields = line.split()
    if len(fields) != FIELDS:
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
