"""The console: durations, and output to a broken pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from flows.reporting.console import format_duration
from tests.support.toy_project import REPOSITORY


def test_a_run_goes_on_when_nobody_reads_its_output_any_more() -> None:
    body = (
        "import sys; from flows.reporting.console import ConsoleDisplay; screen = ConsoleDisplay()\n"
        "for _ in range(2000): screen.message('x' * 100)\n"
        "print('still here', file=sys.stderr)"
    )
    options: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}, "text": True}
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "still here\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_are_formatted_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
