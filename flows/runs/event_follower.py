"""Follow a stage's event log while the stage writes it: each complete line is read once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
HEAD_BYTES = 120
"""How much of the file's beginning tells whether it is still the same file: it holds the time of the first event."""


class EventFollower:
    """Reads an event log as it grows, and from its beginning when another file has taken its place."""

    def __init__(self, path: Path, *, position: int = 0, max_bytes: int = -1) -> None:
        self.path = path
        self.max_bytes = max_bytes
        """The most that one `poll` reads, -1 for all; a longer line is skipped."""
        self.restarted = False
        """Whether the last `poll` found another file than before, or none."""
        self._position = position
        self._head = b""

    def poll(self) -> list[Event]:
        """The events of the lines completed since the last poll; a line that a kill cut short is skipped.

        Raises `OSError` when the file is there and cannot be read.
        """
        self.restarted = False
        try:
            with self.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                if not head.startswith(self._head):
                    self._restart()
                self._head = head
                file.seek(self._position)
                lines = self._complete_lines(file.read(self.max_bytes))
        except FileNotFoundError:
            self._restart()
            return []
        self._position += sum(map(len, lines))
        return list(_parse(lines))

    def _restart(self) -> None:
        self.restarted = True
        self._position = 0
        self._head = b""

    def _complete_lines(self, block: bytes) -> list[bytes]:
        lines = block.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n") and len(block) != self.max_bytes:
            lines.pop()
        return lines


def _parse(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and "event" in event:
            yield event
