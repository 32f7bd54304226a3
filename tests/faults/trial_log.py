"""What a campaign has done, kept in a file: a later go takes up where the one before ended, and tries again what failed."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

Trial = dict[str, Any]
MEMORY = Path("/dev/shm")


def in_memory() -> Path | None:
    """The folder for what a campaign writes: in memory where possible, since a disk spends most of the time on flushes."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


class TrialLog:
    """Trials by part of the campaign, seed and number, one JSON line each; several processes may add to one file.

    Without a path nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._added: list[Trial] = []
        self._lock = threading.Lock()

    def done(self, part: str, seed: int) -> dict[int, Trial]:
        """The newest trial of each number. A line that was cut off by a kill is no trial."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path and self.path.exists() else []
        kept = [trial for line in lines if (trial := _parse(line))] if self.path else self._added
        return {trial["number"]: trial for trial in kept if (trial["part"], trial["seed"]) == (part, seed)}

    def add(self, part: str, seed: int, number: int, **values: Any) -> None:
        trial = {"part": part, "seed": seed, "number": number, **values}
        with self._lock:
            self._added.append(trial)
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab", buffering=0) as file:
                    file.write(f"\n{json.dumps(trial)}".encode())


def _parse(line: str) -> Trial | None:
    try:
        trial = json.loads(line)
        return trial if {"part", "seed", "number"} <= trial.keys() else None
    except (ValueError, AttributeError):
        return None
