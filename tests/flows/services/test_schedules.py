"""Schedules as the command line takes them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flows.services import schedules
from tasks.core.errors import UserError


def test_a_time_span_is_read_as_people_write_it() -> None:
    assert schedules.parse_time_span("6h") == timedelta(hours=6)
    assert schedules.parse_timing("", "90s", "", "UTC") == {"interval": timedelta(seconds=90), "timezone": "UTC"}
    for wrong in (("", "soon", ""), ("0 3 * * *", "6h", ""), ("", "", "")):
        with pytest.raises(UserError):
            schedules.parse_timing(*wrong, "UTC")
