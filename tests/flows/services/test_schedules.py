"""Schedules as the command line reads and prints them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from flows.services import schedules
from tasks.core.errors import UserError


def test_a_time_span_is_read_as_people_write_it() -> None:
    assert schedules.parse_time_span("6h") == timedelta(hours=6)
    assert schedules.parse_timing("", "90s", "", "UTC") == {"interval": timedelta(seconds=90), "timezone": "UTC"}
    for wrong in (("", "soon", ""), ("0 3 * * *", "6h", ""), ("", "", "")):
        with pytest.raises(UserError):
            schedules.parse_timing(*wrong, "UTC")


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"interval": timedelta(hours=36)}, "every 36h"),
        ({"interval": timedelta(days=14)}, "every 2w"),
        ({"cron": "0 3  * * *"}, "0 3 * * *"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=MO"}, "FREQ=WEEKLY;BYDAY=MO"),
    ],
)
def test_a_schedule_is_printed_in_its_largest_whole_unit_or_as_it_was_set(schedule: dict[str, object], text: str) -> None:
    assert schedules.format_schedule(SimpleNamespace(**schedule)) == text
