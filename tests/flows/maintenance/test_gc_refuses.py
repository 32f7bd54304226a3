"""Garbage collection deletes no object while anything that could refer to it cannot be read."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.dvc_state import cache_users, object_cache
from flows.dvc_state.stage_state import read_lock_file
from flows.maintenance import garbage_collection
from flows.runs import run_record
from flows.system.state_files import DamagedFile
from tests.flows.runs.test_damaged_records import flip
from tests.support.executed_runs import both_runs, cached_objects


def test_a_flipped_byte_in_a_record_costs_no_object(project: Path, bonsai: Any) -> None:
    second = both_runs(project)[1]
    before, size = cached_objects(project), (second.folder / "run.json").stat().st_size
    for position in random.Random(3).sample(range(size), 5):
        for name in ("run.json", "run.copy.json"):
            flip(second.folder / name, position)
        code, out, _ = bonsai("gc", "--keep", "0")
        assert code == 0
        assert f"{second.folder / 'run.json'} is damaged" in out
        assert "no object is removed" in out
        assert cached_objects(project) == before
        assert second.folder.exists()
        for name in ("run.json", "run.copy.json"):
            flip(second.folder / name, position)


def test_objects_of_a_run_whose_dvc_lock_is_gone_are_known_from_its_record(project: Path) -> None:
    first, second = both_runs(project)
    before = cached_objects(project)
    (second.folder / "dvc.lock").unlink()
    shutil.rmtree(first.folder)
    report = garbage_collection.collect_garbage(project, keep=1)
    assert report.unreadable == []
    assert cached_objects(project) == before


@pytest.mark.parametrize("what", ["dvc.lock of the run", "dvc.lock of the project", "a hash in it", "a folder's list"])
def test_a_damaged_lock_or_list_costs_no_object(project: Path, what: str) -> None:
    first, second = both_runs(project)
    before = cached_objects(project)
    hashes = [out["md5"] for entry in read_lock_file(project).values() for out in entry["outs"]]
    lock = project / "dvc.lock"
    if what == "dvc.lock of the run":
        (first.folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  fetch@toy: {cmd: x, outs: [")
    elif what == "dvc.lock of the project":
        lock.write_text(lock.read_text().replace("outs:", "outt:", 1))
    elif what == "a hash in it":
        shutil.rmtree(first.folder)
        lock.write_text(lock.read_text().replace(hashes[-1], "0" * 32 + ".dir"))
    else:
        listing = object_cache.object_path(object_cache.objects_folder(project), hashes[-1])
        listing.chmod(0o644)
        listing.write_bytes(listing.read_bytes().replace(b"model", b"modem").replace(b"table", b"tabel"))
    shutil.rmtree(second.folder)
    report = garbage_collection.collect_garbage(project, keep=5)
    assert len(report.unreadable) >= 1
    assert cached_objects(project) == before


def test_objects_of_a_second_clone_on_the_same_cache_stay(project: Path, executed_project: Path) -> None:
    second = both_runs(project)[1]
    clone = Path(shutil.copytree(project, project.parent / "clone", symlinks=True))
    cache = project / ".dvc" / "cache"
    config = clone / ".dvc" / "config"
    config.write_text(config.read_text().replace("[cache]", f"[cache]\n    dir = {cache}"))
    cache_users.register(clone)
    before = cached_objects(project)
    shutil.rmtree(second.folder)
    report = garbage_collection.collect_garbage(project, keep=0)
    assert (report.objects, report.unreadable) == ([], [])
    assert cached_objects(project) == before
    shutil.rmtree(clone)
    report = garbage_collection.collect_garbage(project, keep=0)
    assert [f"{clone} uses this cache too and is not there" in line for line in report.unreadable] == [True]
    entry = Path(report.unreadable[0].rpartition("delete ")[2])
    entry.unlink()
    assert garbage_collection.collect_garbage(project, keep=0).objects
    assert cached_objects(project) < before


def test_a_list_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x", "", ".", "a\\b", "a//b", "a\0b"):
        content = json.dumps([{"md5": "0" * 32, "relpath": name}]).encode()
        with pytest.raises(DamagedFile, match="outside of its folder"):
            object_cache.parse_folder_list(content, tmp_path / "x.dir")
    for md5 in ("../../x", "", None, "0" * 31, "G" * 32):
        content = json.dumps([{"md5": md5, "relpath": "a"}]).encode()
        with pytest.raises(DamagedFile, match="no hash"):
            object_cache.parse_folder_list(content, tmp_path / "x.dir")
    twice = json.dumps([{"md5": "0" * 32, "relpath": "a"}] * 2).encode()
    with pytest.raises(DamagedFile, match="twice"):
        object_cache.parse_folder_list(twice, tmp_path / "x.dir")


def test_a_run_that_is_damaged_does_not_count_among_the_newest(project: Path) -> None:
    newest = run_record.run_ids(project)[0]
    for name in ("run.json", "run.copy.json"):
        flip(project / "runs" / newest / name, 50)
    report = garbage_collection.collect_garbage(project, keep=1)
    assert report.runs == []
