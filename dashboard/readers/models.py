"""The registered models of a use case, and the commands that promote one or roll back."""

from __future__ import annotations

from pathlib import Path

from dashboard.readers import bonsai_commands, project_files
from dashboard.readers.bonsai_commands import CommandError
from flows.registry import history
from flows.registry.history import CHAMPION, History, Version

TIMEOUT_S = 600
"""A promotion compares two models on all test rows."""


def registered(root: Path, use_case: str) -> History:
    """The versions and aliases of a use case; raises `UserError` where its history is damaged."""
    return history.read(root, project_files.slug(use_case))


def aliases_of(models: History, version: Version) -> list[str]:
    """The aliases that point at a version now."""
    return [alias for alias, stack in models.aliases.items() if stack and stack[-1] == version.number]


def can_roll_back(models: History) -> bool:
    """Whether the champion has a predecessor."""
    return len(models.aliases.get(CHAMPION, [])) > 1


def promote(root: Path, use_case: str, source: str) -> str:
    """Make a run's release, or a registered version, the champion; returns what happened. Raises `CommandError`."""
    return _output_of(root, "promote", project_files.slug(use_case), source)


def roll_back(root: Path, use_case: str) -> str:
    """Make the previous champion the champion again; returns what happened. Raises `CommandError` with the reason."""
    return _output_of(root, "rollback", project_files.slug(use_case))


def release_files(root: Path, version: Version) -> list[Path]:
    """The files of a registered version; empty where its folder has to be fetched first."""
    folder = history.folder(root, version.use_case) / str(version.number)
    return sorted(path for path in folder.glob("*") if path.is_file())


def _output_of(root: Path, *arguments: str) -> str:
    done = bonsai_commands.run(root, *arguments, timeout_s=TIMEOUT_S)
    if done.returncode:
        raise CommandError((done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
    return " ".join(done.stdout.split())
