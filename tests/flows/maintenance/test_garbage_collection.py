"""Garbage collection removes old runs and unused objects, and nothing that a kept run or the project needs."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import chdir
from pathlib import Path
from typing import Any

from flows.dvc_state import object_cache
from flows.dvc_state.stage_state import StageStore
from flows.maintenance import garbage_collection
from flows.runs import search
from flows.runs.search import RunAnnotation
from flows.system import os_processes
from tests.support.executed_runs import both_runs, cached_objects, execute_run, is_up_to_date


def test_gc_keeps_what_a_kept_run_or_the_project_needs(project: Path, bonsai: Any) -> None:
    first, second = both_runs(project)
    before = cached_objects(project)
    _, out, _ = bonsai("gc", "--keep", "0", "--dry-run")
    assert "would remove" in out
    assert cached_objects(project) == before
    assert first.folder.exists()
    search.write_annotation(second.folder, RunAnnotation(pinned=True))
    _, out, _ = bonsai("gc", "--keep", "0")
    assert out.splitlines() == [f"removed {first.id}", out.splitlines()[-1]]
    assert second.folder.exists()
    assert not first.folder.exists()
    assert cached_objects(project) == before, "the project's own folder shows the first run, and the second is pinned"
    assert is_up_to_date(project)
    search.write_annotation(second.folder, RunAnnotation(pinned=False))
    swept = garbage_collection.collect_garbage(project, keep=0)
    assert swept.runs == [second.id]
    assert swept.freed_bytes > 0
    assert cached_objects(project) < before
    assert is_up_to_date(project)
    with chdir(project):
        shutil.rmtree(project / "data")
        again = execute_run(project)
    assert {entry["state"] for entry in again.record["stages"].values()} <= {"Unchanged", "Restored"}


def test_gc_removes_no_object_while_a_run_is_active(project: Path) -> None:
    second, before = both_runs(project)[1], cached_objects(project)
    with chdir(second.folder), StageStore(second.folder):
        swept = garbage_collection.collect_garbage(project, keep=1)
    assert "a run is active" in swept.objects_kept_because
    assert len(swept.runs) == 1
    assert cached_objects(project) == before


def test_users_of_the_cache_wait_during_garbage_collection(project: Path) -> None:
    entered = threading.Event()

    def use() -> None:
        with object_cache.shared_lock(object_cache.objects_folder(project)):
            entered.set()

    with object_cache.exclusive_lock(object_cache.objects_folder(project)) as nobody:
        assert nobody
        other = threading.Thread(target=use)
        other.start()
        assert not entered.wait(0.1)
    other.join(5)
    assert entered.is_set()


def test_an_active_run_is_not_removed(project: Path) -> None:
    first, second = both_runs(project)
    first.update(state="Running", process=os_processes.identity())
    assert garbage_collection.collect_garbage(project, keep=0).runs == [second.id]


def test_a_file_with_another_hard_link_is_not_counted_as_freed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.link(tmp_path / "a", tmp_path / "b")
    assert garbage_collection.freed_bytes([], [tmp_path / "a"]) == 0
    assert garbage_collection.freed_bytes([], [tmp_path / "a", tmp_path / "b"]) == 5
