"""A run-cache that a collection of garbage, a kill or a faulty disk left costs a stage run anew, and never a failed run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flows.dvc_state import object_cache
from flows.maintenance import garbage_collection
from flows.runs.run_record import Run
from tests.support.executed_runs import both_runs, execute_run

CHANGED = {"model.width": 5}


def entries(project: Path) -> list[Path]:
    return sorted((project / ".dvc" / "cache" / "runs").glob("??/*/*"))


def hashes(run: Run) -> dict[str, object]:
    return {name: run.record["stages"][name]["outs"] for name in ("fetch@toy", "train@toy", "compress@toy-half")}


def forget_runs(project: Path) -> None:
    """Leave only the run-cache to know what the runs computed."""
    for run in both_runs(project):
        shutil.rmtree(run.folder)


def test_a_run_that_was_collected_as_garbage_can_be_done_again(project: Path) -> None:
    _, changed = both_runs(project)
    before = hashes(changed)
    assert garbage_collection.collect_garbage(project, keep=0).run_cache_entries
    again = execute_run(project, overrides=CHANGED)
    assert again.record["state"] == "Completed", again.record["error"]
    assert again.record["stages"]["train@toy"]["state"] == "Completed", "its outputs were collected too"
    assert hashes(again) == before


def test_a_collection_leaves_no_empty_folder_in_the_run_cache(project: Path) -> None:
    garbage_collection.collect_garbage(project, keep=0)
    folders = [*(project / ".dvc" / "cache" / "runs").glob("??"), *(project / ".dvc" / "cache" / "runs").glob("??/*")]
    assert folders
    assert all(any(folder.iterdir()) for folder in folders)


def test_a_folder_of_the_run_cache_that_a_kill_left_empty_is_no_entry(project: Path) -> None:
    forget_runs(project)
    for entry in entries(project):
        entry.unlink()
    again = execute_run(project, overrides=CHANGED)
    assert again.record["state"] == "Completed", again.record["error"]


@pytest.mark.parametrize("damage", ["another object", "no text", "cut off", "of another key"])
def test_a_damaged_entry_of_the_run_cache_is_not_believed(project: Path, damage: str) -> None:
    _, changed = both_runs(project)
    before = hashes(changed)
    forget_runs(project)
    foreign = next(iter(before["fetch@toy"].values()))["md5"]  # type: ignore[attr-defined]
    for entry in entries(project):
        content = entry.read_bytes()
        entry.chmod(0o644)
        if damage == "another object":
            own = content[content.rindex(b"md5: ") + 5 :][:36]
            entry.write_bytes(content.replace(own, foreign.encode()))
        elif damage == "no text":
            entry.write_bytes(b"\xff\xfe" + content)
        elif damage == "cut off":
            entry.write_bytes(content[: len(content) // 2])
        else:
            entry.rename(entry.with_name("0" * 64))
    again = execute_run(project, overrides=CHANGED)
    assert again.record["state"] == "Completed", again.record["error"]
    assert hashes(again) == before
    assert again.record["stages"]["train@toy"]["state"] == "Completed", "it was run again, and not restored by the damaged entry"
    restored = execute_run(project, overrides=CHANGED)
    assert restored.record["stages"]["train@toy"]["state"] in ("Unchanged", "Restored"), "a new entry took its place"
    assert not [path for path in object_cache.objects_folder(project).glob("??/*") if not object_cache.is_intact(path)]


def test_the_newest_intact_entry_is_taken_where_a_later_one_is_damaged(project: Path) -> None:
    forget_runs(project)
    for entry in entries(project):
        damaged = entry.with_name("f" * 64)
        damaged.write_bytes(entry.read_bytes())
        os.utime(damaged, (entry.stat().st_mtime + 100,) * 2)
    again = execute_run(project, overrides=CHANGED)
    assert again.record["stages"]["train@toy"]["state"] == "Restored"
