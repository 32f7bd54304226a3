"""DVC's own SQLite files only save work: a damaged one costs time, and no command fails because of it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.dvc_state import hash_database
from flows.maintenance import remote
from flows.maintenance.garbage_collection import collect_garbage
from flows.maintenance.restore import restore
from tests.support.executed_runs import both_runs, execute_run, is_up_to_date


def databases(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.db") if hash_database.folder(Path()).as_posix() in path.as_posix())


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "head":
        content[:16] = b"x" * 16
    elif how == "pages":
        for at in range(100, len(content), 4096):
            content[at : at + 64] = b"\xaa" * 64
    else:
        content = content[:1000]
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["head", "pages", "cut off"])
def test_no_command_fails_because_a_file_of_dvc_is_damaged(project: Path, how: str) -> None:
    run = both_runs(project)[0]
    remote.push(project, run, _store(project))
    assert is_up_to_date(project)
    found = databases(project)
    assert len(found) >= 6
    for act in (
        lambda: execute_run(project).record["state"] == "Completed",
        lambda: restore(project, run, force=True) or True,
        lambda: remote.push(project, run, "store") == 0,
        lambda: remote.pull(project, run.id, "store")[1] == 0,
        lambda: not collect_garbage(project, keep=9).objects_kept_because,
        lambda: is_up_to_date(project),
    ):
        for path in databases(project):
            damage(path, how)
        assert act()


def test_an_intact_file_of_dvc_stays_and_a_damaged_one_is_deleted(project: Path) -> None:
    assert is_up_to_date(project)
    first, *others = databases(project / ".dvc")
    before = {path: path.read_bytes() for path in others}
    damage(first, "head")
    assert hash_database.delete_damaged(project) == [first]
    assert not first.exists()
    assert {path: path.read_bytes() for path in others} == before
    assert hash_database.delete_damaged(project) == []


@pytest.mark.parametrize(("old", "new"), [(b'{"version"', b'{\xa2version"'), (b'{"version"', b'k"version"')])
def test_a_hash_that_dvc_could_not_read_costs_its_file(project: Path, old: bytes, new: bytes) -> None:
    assert is_up_to_date(project)
    hashes = [path for path in databases(project / ".dvc") if "hashes" in path.parts and old in path.read_bytes()]
    assert hashes
    for path in hashes:
        path.write_bytes(path.read_bytes().replace(old, new))
    assert sorted(hash_database.delete_damaged(project)) == hashes
    assert is_up_to_date(project)


def test_a_file_that_another_process_has_locked_is_not_judged(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_up_to_date(project)
    monkeypatch.setattr(hash_database, "BUSY_TIMEOUT_S", 0.1)
    path = databases(project / ".dvc")[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        assert hash_database.delete_damaged(project) == []
    assert path.exists()


def _store(project: Path) -> str:
    """The name of a new remote of the project."""
    shutil.rmtree(project.parent / "remote", ignore_errors=True)
    with (project / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"store\"']\n    url = {project.parent / 'remote'}\n")
    return "store"
