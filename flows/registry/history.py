"""The history of a use case's models: an append-only file of events, from which versions and aliases follow.

`registry/<use case>/history.jsonl` holds one JSON object per line. A line counts once it is whole, so a killed writer leaves
the state before or after its event, never between. Git merges and shows the file line by line.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from flows.system.file_locks import hold_lock
from tasks.core.errors import UserError

FOLDER, FILE = "registry", "history.jsonl"
CHAMPION, CHALLENGER = "champion", "challenger"
REGISTERED, POINTED = "registered", "alias"


@dataclass(frozen=True, slots=True)
class Version:
    """One registered release."""

    use_case: str
    number: int
    facts: Mapping[str, Any]
    """Its event: run, released, verdict, metric, value, bytes, sha256, data, commit, at, by."""

    @property
    def name(self) -> str:
        return f"{self.use_case}@{self.number}"


@dataclass(slots=True)
class History:
    """The versions of a use case and where its aliases point, as of the last whole line."""

    use_case: str
    versions: dict[int, Version] = field(default_factory=dict)
    aliases: dict[str, list[int]] = field(default_factory=dict)
    """For each alias the versions it pointed at, the present one last; a rollback removes the last."""
    events: list[dict[str, Any]] = field(default_factory=list)

    def at(self, alias: str) -> Version | None:
        """The version that an alias points at; None if it points at none."""
        stack = self.aliases.get(alias)
        return self.versions[stack[-1]] if stack else None

    def find(self, name: str) -> Version:
        """The version named by a number, `vision@7`, or an alias; raises a `UserError` with what there is."""
        text = name.removeprefix(f"{self.use_case}@")
        if text.isdigit() and int(text) in self.versions:
            return self.versions[int(text)]
        if version := self.at(text):
            return version
        names = [*self.aliases, *map(str, self.versions)]
        near = get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names) or 'none yet; `bonsai promote` makes one'}"
        raise UserError(f"{self.use_case} has no version {text!r}; {hint}")

    def apply(self, event: dict[str, Any]) -> None:
        """Take an event into account; one that does not fit the history is an error of the file."""
        if event["event"] == REGISTERED:
            self.versions[event["version"]] = Version(self.use_case, event["version"], event)
        elif event["event"] == POINTED:
            stack = self.aliases.setdefault(event["alias"], [])
            if event["why"] == "rollback":
                stack.pop()
            else:
                stack.append(event["version"])
            if (stack[-1] if stack else None) != event["version"]:
                raise KeyError(event["alias"])
        self.events.append(event)


def folder(root: Path, use_case: str) -> Path:
    """The folder of a use case's versions and history."""
    return root / FOLDER / use_case


def use_cases(root: Path) -> list[str]:
    """The use cases with a history, sorted."""
    return sorted(path.parent.name for path in (root / FOLDER).glob(f"*/{FILE}"))


def use_cases_with_models(root: Path) -> list[str]:
    """The use cases that have a champion, or a released model in the project's own folder, sorted."""
    released = {path.parent.parent.name for path in root.glob("data/*/release/model.onnx")}
    return sorted({*released, *(name for name in use_cases(root) if read(root, name).at(CHAMPION))})


def read(root: Path, use_case: str) -> History:
    """The history as it stands. Raises a `UserError` that names the line of an event that cannot be read."""
    history, path = History(use_case), folder(root, use_case) / FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # what follows the last line break was cut short
    for number, line in enumerate(lines, start=1):
        try:
            history.apply(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError):
            raise UserError(f"{path}, line {number}: no event of the registry; restore the file from git or a copy") from None
    return history


@contextmanager
def writing(root: Path, use_case: str) -> Iterator[History]:
    """The history, while nobody else may write to it."""
    with hold_lock(root / ".bonsai" / "locks" / f"registry-{use_case}"):
        yield read(root, use_case)


def append(root: Path, history: History, event: str, **facts: Any) -> dict[str, Any]:
    """Add an event to the file, on disk when this returns, and to the history. The caller is inside `writing`."""
    who = os.environ.get("BONSAI_USER") or getpass.getuser()
    content = {"event": event, **facts, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "by": who}
    path = folder(root, history.use_case) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        whole = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)  # a line that a killed writer did not finish
        os.pwrite(descriptor, line, whole)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    history.apply(content)
    return content
