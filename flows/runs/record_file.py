"""The file of a run's record: written with a checksum, checked at every read, and kept twice once the run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.runs import record_schema
from flows.system.state_files import DamagedFile, encode, read_state
from tasks.core.storage.atomic_files import write_bytes

RECORD_FILE, COPY_FILE = "run.json", "run.copy.json"
DAMAGED_SUFFIX = ".damaged"
FINAL_STATES = ("Completed", "Failed", "Cancelled", "Crashed")
DAMAGED = "Damaged"
"""The state of a run whose record cannot be read."""


def read(folder: Path) -> tuple[dict[str, Any], str]:
    """The record of the run in that folder with the defaults of what it lacks, and what is wrong with it.

    Where it is damaged but its copy is not, the record is that of the copy. Where both are, its state is Damaged and its error
    says why. Raises `FileNotFoundError` when there is no such folder, or nothing is in it yet.
    """
    try:
        return _read_file(folder / RECORD_FILE), ""
    except FileNotFoundError:
        if not any(name for name in (each.name for each in folder.iterdir()) if not name.endswith(".partial")):
            raise
        damage = DamagedFile(folder / RECORD_FILE, "it is missing")
    except DamagedFile as error:
        damage = error
    try:
        return _read_file(folder / COPY_FILE), str(damage)
    except (FileNotFoundError, DamagedFile):
        return {**record_schema.complete({}), "state": DAMAGED, "error": str(damage)}, str(damage)


def repair(folder: Path) -> str:
    """Put the copy of a damaged record in its place; the damaged file stays beside it. Returns a line for people, or nothing."""
    path, copy = folder / RECORD_FILE, folder / COPY_FILE
    try:
        _read_file(path)
    except (FileNotFoundError, DamagedFile) as error:
        try:
            _read_file(copy)
        except (FileNotFoundError, DamagedFile):
            return ""
        if path.exists():
            path.replace(path.with_name(path.name + DAMAGED_SUFFIX))
        write_bytes(path, copy.read_bytes())
        reason = error.reason if isinstance(error, DamagedFile) else "it is missing"
        return f"{path} was damaged ({reason}); its copy took its place"
    return ""


def write(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record, and once the run has ended its copy too."""
    content = encode(record)
    if record.get("state") in FINAL_STATES:
        write_bytes(folder / COPY_FILE, content)
    write_bytes(folder / RECORD_FILE, content)


def advice(folder: Path) -> str:
    """What a person can do about a record without an intact copy."""
    return (
        f"`bonsai pull {folder.name}` fetches a run that was pushed; else delete {folder} if you do not need the run. "
        "Until then nothing that it could refer to is deleted"
    )


def _read_file(path: Path) -> dict[str, Any]:
    content = read_state(path)
    try:
        record_schema.validate(content)
    except ValueError as error:
        raise DamagedFile(path, str(error)) from None
    return record_schema.complete(content)
