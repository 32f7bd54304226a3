"""What several rooms' tests lean on: the command line, run in this process."""

from __future__ import annotations

import sys
from typing import Any

import pytest


@pytest.fixture
def bonsai(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process: exit code, standard output, standard error."""
    from flows.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bonsai", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run
