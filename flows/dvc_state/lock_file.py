"""The text of dvc.lock: parsed quickly, checked for truncation, and as the last git commit has it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LockEntries = Mapping[str, Mapping[str, Any]]
"""The `stages` of a dvc.lock, by stage name."""

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser where it is installed, since dvc.lock is large."""


def parse_lock_entries(text: str) -> LockEntries:
    """The entries of a dvc.lock with this text."""
    entries: LockEntries = (yaml.load(text, LOADER) or {}).get("stages") or {}
    return entries


def parse_checked_entries(text: str) -> LockEntries:
    """The entries of a dvc.lock with this text; raises a `ValueError` that says what is wrong with it. Empty text has none.

    Every stage must have a command and outputs with paths and hashes, as every stage of Bonsai has.
    """
    try:
        content = yaml.load(text, LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML ({str(error).splitlines()[0]})") from None
    if not content and not text.strip():
        return {}
    if not isinstance(content, dict) or set(content) != {"schema", "stages"} or not isinstance(content["stages"], dict):
        raise ValueError("it has no schema and stages")
    for name, entry in content["stages"].items():
        outs = entry.get("outs") if isinstance(entry, dict) and "cmd" in entry else None
        if not isinstance(outs, list) or not all(_is_output(out) for out in outs):
            raise ValueError(f"the stage {str(name)[:80]!r} has no outputs with paths and hashes")
    entries: LockEntries = content["stages"]
    return entries


def _is_output(out: object) -> bool:
    return isinstance(out, dict) and isinstance(out.get("path"), str) and bool(MD5.fullmatch(str(out.get("md5"))))


def is_valid_lock_text(text: str) -> bool:
    """Whether the text is complete YAML with the keys that DVC writes."""
    try:
        content = yaml.load(text, LOADER)
    except yaml.YAMLError:
        return False
    return isinstance(content, dict) and "schema" in content and isinstance(content.get("stages", {}), dict)


def committed_lock_text(folder: Path) -> str:
    """The text of `dvc.lock` in the last git commit; empty without a git repository or such a file."""
    command = ["git", "-C", str(folder), "show", "HEAD:./dvc.lock"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
