"""Runs `bonsai` commands. Each takes a process of its own, because DVC works in the current directory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TIMEOUT_S = 120


class CommandError(Exception):
    """A command failed; the message is the reason."""


def run(root: Path, *arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run `bonsai` with these arguments in the project; raises `CommandError` if it does not start or does not end in time."""
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(str(error)) from None


def plan(root: Path, use_case: str, options: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The steps that `bonsai plan` lists for a use case; raises `CommandError`."""
    done = run(root, "plan", use_case, "--json", *options)
    if done.returncode:
        raise CommandError((done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
    steps: list[dict[str, Any]] = json.loads(done.stdout)
    return steps
