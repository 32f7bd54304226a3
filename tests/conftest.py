"""Fixtures for the tests of several packages: the command line, run in this process."""

from __future__ import annotations

import sys
from typing import Any

import pytest


@pytest.fixture
def bonsai(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Function that runs the command line in this process; returns exit code, standard output and standard error."""
    from flows.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bonsai", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run
