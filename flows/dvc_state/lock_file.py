"""The text of dvc.lock: parsed quickly, checked for truncation, and as the last git commit has it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LockEntries = Mapping[str, Mapping[str, Any]]
"""The `stages` of a dvc.lock, by stage name."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser where it is installed, since dvc.lock is large."""


def parse_lock_entries(text: str) -> LockEntries:
    """The entries of a dvc.lock with this text."""
    entries: LockEntries = (yaml.load(text, LOADER) or {}).get("stages") or {}
    return entries


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
