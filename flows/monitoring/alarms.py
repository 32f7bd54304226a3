"""Alarms: an append-only file per use case. An alarm is raised once for a version and stays open until it is acknowledged."""

from __future__ import annotations

import getpass
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows.request_log.records import use_case_folder
from flows.system.file_locks import hold_lock

FILE = "alarms.jsonl"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that needs a look."""

    kind: Literal["drift", "limit", "shadow"]
    name: str
    """The statistic, the limit, or the challenger."""
    evidence: float
    """The common logarithm of the wealth against the hypothesis that all is as it should be; 3 is a thousand to one."""
    message: str


def read_events(root: Path, use_case: str) -> list[dict[str, Any]]:
    """All events in their order: `raised`, and `acknowledged` with who did it and why."""
    path = use_case_folder(root, use_case) / FILE
    events = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # cut short by a kill
        if isinstance(event, dict):
            events.append(event)
    return events


def open_alarms(root: Path, use_case: str, model: str) -> list[dict[str, Any]]:
    """The alarms of a version that nobody acknowledged, the first one first."""
    opened: dict[tuple[str, str], dict[str, Any]] = {}
    for event in read_events(root, use_case):
        if event.get("model") == model:
            key = (event["kind"], event["name"])
            if event["event"] == "raised":
                opened[key] = event
            else:
                opened.pop(key, None)
    return list(opened.values())


def record(root: Path, use_case: str, model: str, raised: list[Alarm]) -> list[dict[str, Any]]:
    """Add the alarms that were never raised for this version; returns them as they are in the file."""
    earlier = {(event["kind"], event["name"]) for event in read_events(root, use_case) if event.get("model") == model}
    new = [alarm for alarm in raised if (alarm.kind, alarm.name) not in earlier]
    return _append(root, use_case, [{"event": "raised", "model": model, **asdict(alarm)} for alarm in new])


def acknowledge(root: Path, use_case: str, model: str, why: str) -> int:
    """Close the open alarms of a version; returns how many there were. They are not raised again for this version."""
    who = os.environ.get("BONSAI_USER") or getpass.getuser()
    closed = [
        {"event": "acknowledged", "model": model, "kind": each["kind"], "name": each["name"], "by": who, "why": why}
        for each in open_alarms(root, use_case, model)
    ]
    return len(_append(root, use_case, closed))


def _append(root: Path, use_case: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    path = use_case_folder(root, use_case) / FILE
    stamped = [{**event, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"} for event in events]
    if stamped:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in stamped).encode()
        with hold_lock(root / ".bonsai" / "locks" / f"alarms-{use_case}"), path.open("ab") as file:
            if file.tell() and path.read_bytes()[-1:] != b"\n":
                lines = b"\n" + lines
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    return stamped
