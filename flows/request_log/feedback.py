"""Right answers that clients sent for earlier requests: an append-only file of JSON lines."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.request_log.records import FEEDBACK, use_case_folder
from flows.system.file_locks import hold_lock

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("request_id", "position", "label", "source", "at")
REQUEST_ID = re.compile(r"(?P<use_case>[a-z0-9_]+)-(?P<number>[0-9a-f]{32})")


def use_case_of(request_id: str) -> str:
    """The use case that answered a request; empty for a text that is no id of a request."""
    match = REQUEST_ID.fullmatch(request_id)
    return match["use_case"] if match else ""


def append(root: Path, entries: list[dict[str, Any]]) -> None:
    """Store entries with `request_id`, `position`, `label` and `source`, all of one use case; on disk when this returns."""
    use_case = use_case_of(entries[0]["request_id"])
    path = use_case_folder(root, use_case) / FEEDBACK
    path.parent.mkdir(parents=True, exist_ok=True)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    lines = b"".join(json.dumps({**entry, "at": now}, ensure_ascii=False).encode() + b"\n" for entry in entries)
    with hold_lock(root / ".bonsai" / "locks" / f"feedback-{use_case}"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a line that a killed writer did not finish
                lines = b"\n" + lines
            os.pwrite(descriptor, lines, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_feedback(root: Path, use_case: str) -> DataFrame:
    """All whole entries in their order, with the columns `COLUMNS`; `label` is text, `at` a time in UTC."""
    import pandas as pd

    path = use_case_folder(root, use_case) / FEEDBACK
    entries = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            entry = json.loads(line)
            entries.append([str(entry[name]) if name != "position" else int(entry[name]) for name in COLUMNS])
        except (ValueError, KeyError, TypeError):
            continue  # empty, or cut short by a kill
    frame = pd.DataFrame(entries, columns=list(COLUMNS))
    return frame.assign(at=pd.to_datetime(frame["at"], utc=True), position=frame["position"].astype("int32"))
