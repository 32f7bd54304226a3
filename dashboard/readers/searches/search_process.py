"""Start a search as a process of its own, follow it and cancel it. It goes on when the dashboard ends, and is found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.system import os_processes
from flows.system.file_locks import hold_lock
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_json

Kind = Literal["compress", "tune"]
"""The `bonsai` command of the search."""
State = Literal["running", "completed", "failed", "cancelled", "crashed"]
FOLDER = Path(".bonsai") / "searches"
RECORD, OUTPUT, EXIT_CODE = "search.json", "output.log", "exit_code"
MAX_LINES, MAX_OUTPUT_BYTES = 200, 200_000
SIGNALLED = 128
"""A shell gives the exit code of a command that a signal ended as this plus the signal's number."""
SAVE_EXIT_CODE = '"$@"; echo $? > "$0"'
"""A shell script: `$0` is the file of the exit code, and the command follows it."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was started from the dashboard, as it is now."""

    folder: Path
    command: list[str]
    """The words after `bonsai`."""
    started_at: str
    state: State
    facts: dict[str, Any] = field(default_factory=dict)
    """What the page that started it keeps with it, such as its budget."""
    process: dict[str, Any] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was started."""
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.started_at)).total_seconds())

    def lines(self) -> list[str]:
        """The last lines that it printed."""
        path = self.folder / OUTPUT
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_OUTPUT_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-MAX_LINES:]

    def error(self) -> str:
        """The reason why it failed; empty if it did not."""
        if self.state != "failed":
            return ""
        lines = [line for line in self.lines() if line.strip()]
        return (lines[-1] if lines else "?").removeprefix("error: ")


def start(root: Path, use_case: str, kind: Kind, arguments: Sequence[str], facts: dict[str, Any] | None = None) -> Search:
    """Start `bonsai <kind> <use case> <arguments>`; raises `UserError` while an earlier one of this kind runs."""
    folder = root / FOLDER / f"{use_case}-{kind}"
    command = [kind, use_case, *arguments]
    with hold_lock(folder.with_name(f"{folder.name}.lock")):
        earlier = read(root, use_case, kind)
        if earlier and earlier.is_running:
            raise UserError(f"`bonsai {kind} {use_case}` runs already; cancel it first, or wait until it ends")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        words = [sys.executable, "-m", "flows.cli.main", *command]
        with (folder / OUTPUT).open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", SAVE_EXIT_CODE, str(folder / EXIT_CODE), *words],
                cwd=root,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=process.wait, daemon=True, name=f"wait for {kind} {use_case}").start()
        identity, started_at = os_processes.identity(process.pid), datetime.now(UTC).isoformat()
        record = {"command": command, "started_at": started_at, "process": identity, "facts": facts or {}}
        write_json(folder / RECORD, record)
    return Search(folder, command, started_at, "running", facts or {}, identity)


def read(root: Path, use_case: str, kind: Kind) -> Search | None:
    """The newest search of this kind; None if none was started here, or its record is damaged."""
    folder = root / FOLDER / f"{use_case}-{kind}"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        values = (list(record["command"]), str(record["started_at"]), dict(record["facts"]), dict(record["process"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    command, started_at, facts, process = values
    return Search(folder, command, started_at, _state(folder, record, process), facts, process)


def cancel(search: Search) -> None:
    """End the search with all processes that it started. What it has found stays, and the next search goes on from there."""
    record = json.loads((search.folder / RECORD).read_text(encoding="utf-8"))
    write_json(search.folder / RECORD, {**record, "cancelled": True})
    os_processes.kill_group(search.process)


def _state(folder: Path, record: dict[str, Any], process: dict[str, Any]) -> State:
    alive = os_processes.is_alive(process)
    try:
        exit_code = int((folder / EXIT_CODE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        if alive:
            return "running"
        return "cancelled" if record.get("cancelled") else "crashed"
    if exit_code > SIGNALLED:
        return "crashed"
    return "completed" if exit_code == 0 else "failed"
