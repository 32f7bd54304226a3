"""What comes from a remote is checked before it has a name here, and success is looked at, not assumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.dvc_state import object_cache
from flows.maintenance import remote, verify
from flows.maintenance.restore import restore
from flows.runs import run_record
from flows.runs.run_record import Run
from tasks.core.errors import UserError
from tests.flows.dvc_state.test_damaged_objects import damage
from tests.support.executed_runs import COMMENTED_PARAMS, adopt_copy, both_runs, cached_objects
from tests.support.toy_project import build_project


@pytest.fixture
def pushed(project: Path, executed_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Path, Path]:
    """(a run that was pushed, another clone, the remote's folder)."""
    second, store = both_runs(project)[1], tmp_path / "remote"
    other = build_project(tmp_path / "other", COMMENTED_PARAMS)
    for folder in (project, other):
        with (folder / ".dvc" / "config").open("a") as config:
            config.write(f"['remote \"store\"']\n    url = {store}\n")
    assert remote.push(project, second, "store") > 0
    adopt_copy(other, executed_project, monkeypatch)
    return second, other, store


def remote_object(store: Path, md5: str) -> Path:
    return store / "files" / "md5" / md5[:2] / md5[2:]


def test_a_pull_after_a_killed_one_fetches_what_is_missing(pushed: tuple[Run, Path, Path]) -> None:
    run, other, _ = pushed
    _, count = remote.pull(other, run.id, "store")
    objects = sorted(cached_objects(other))
    assert count == len(objects)
    for path in objects[3:]:
        path.unlink()
    _, again = remote.pull(other, run.id, "store")
    assert again == len(objects) - 3
    assert sorted(cached_objects(other)) == objects
    assert all(map(object_cache.is_intact, objects))


def test_a_pull_replaces_damaged_objects_and_a_damaged_record_here(pushed: tuple[Run, Path, Path]) -> None:
    run, other, _ = pushed
    remote.pull(other, run.id, "store")
    objects = sorted(cached_objects(other))
    for path in objects[:4]:
        damage(path)
    assert remote.pull(other, run.id, "store")[1] == 4
    assert all(map(object_cache.is_intact, objects))


def test_a_pull_replaces_damaged_files_whose_folders_list_is_damaged_or_missing_too(pushed: tuple[Run, Path, Path]) -> None:
    run, other, _ = pushed
    remote.pull(other, run.id, "store")
    objects = sorted(cached_objects(other))
    for path in objects:
        damage(path)
    assert remote.pull(other, run.id, "store")[1] == len(objects)
    assert all(map(object_cache.is_intact, objects))
    for path in objects:
        path.unlink() if path.name.endswith(".dir") else damage(path)
    assert remote.pull(other, run.id, "store")[1] == len(objects)
    assert all(map(object_cache.is_intact, objects))


def test_an_object_that_the_remote_lacks_or_has_damaged_is_named_and_gets_no_name_here(pushed: tuple[Run, Path, Path]) -> None:
    run, other, store = pushed
    md5 = run.record["stages"]["train@toy"]["outs"]["data/toy/model"]["md5"]
    stored = remote_object(store, md5)
    content = stored.read_bytes()
    damage(stored)
    with pytest.raises(UserError, match=f"damaged object {md5}; delete .* and push the run again"):
        remote.pull(other, run.id, "store")
    assert not object_cache.object_path(object_cache.objects_folder(other), md5).exists()
    stored.unlink()
    with pytest.raises(UserError, match=f"does not have the object {md5}"):
        remote.pull(other, run.id, "store")
    stored.write_bytes(content)
    remote.pull(other, run.id, "store")
    assert object_cache.object_path(object_cache.objects_folder(other), md5).exists()


def test_no_damaged_object_is_pushed(project: Path, pushed: tuple[Run, Path, Path]) -> None:
    run, _, store = pushed
    shutil.rmtree(store)
    for path in cached_objects(project):
        damage(path)
    with pytest.raises(UserError, match="was damaged; it is set aside"):
        remote.push(project, run, "store")
    assert not store.exists()


def test_a_push_looks_whether_the_remote_has_every_object(project: Path, pushed: tuple[Run, Path, Path]) -> None:
    run, _, store = pushed
    md5 = run.record["stages"]["clean@toy"]["outs"]["data/toy/clean"]["md5"]
    remote_object(store, md5).unlink()
    remote.push(project, run, "store")
    assert remote_object(store, md5).exists(), "DVC's index of the remote is not believed"


@pytest.mark.parametrize("how", ["deleted", "cut off", "folder deleted"])
def test_a_push_sends_again_what_the_remote_has_lost_of_a_folder_whose_list_it_has(
    project: Path, pushed: tuple[Run, Path, Path], how: str
) -> None:
    run, _, store = pushed
    content = {path: path.read_bytes() for path in (store / "files" / "md5").glob("??/*")}
    files = [path for path in sorted(content) if path.suffix != ".dir"]
    lost = files[0], files[-1]
    for path in lost:
        if how == "cut off":
            path.chmod(0o644)
            path.write_bytes(content[path][:-1])
        else:
            path.unlink()
    if how == "folder deleted":
        shutil.rmtree(lost[0].parent)
    gone = sum(not path.exists() or path.read_bytes() != content[path] for path in content)
    assert remote.push(project, run, "store") == gone >= 2
    assert {path: path.read_bytes() for path in (store / "files" / "md5").glob("??/*")} == content


@pytest.mark.parametrize("name", ["../../outside", "/outside-of-the-project", "a/../../outside"])
def test_a_hostile_list_of_a_folder_writes_nothing_outside(pushed: tuple[Run, Path, Path], name: str) -> None:
    run, other, store = pushed
    md5 = run.record["stages"]["train@toy"]["outs"]["data/toy/model"]["md5"]
    files = json.loads(remote_object(store, md5).read_text())
    files[0]["relpath"] = name
    content = json.dumps(files).encode()
    hostile = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
    remote_object(store, hostile).parent.mkdir(exist_ok=True)
    remote_object(store, hostile).write_bytes(content)
    folder = store / "bonsai" / "runs" / run.id
    lock = folder / "dvc.lock"
    lock.write_text(lock.read_text().replace(md5, hostile))
    (folder / "run.json").write_text(json.dumps({**run.record, "stages": {}}))
    (folder / "run.copy.json").unlink()
    before = set(other.parent.rglob("*outside*"))
    with pytest.raises(UserError, match="outside of its folder"):
        remote.pull(other, run.id, "store")
    assert set(other.parent.rglob("*outside*")) == before


@pytest.mark.parametrize(
    "name",
    [
        ".dvc/config.local",
        ".dvc/tmp/rwlock",
        ".dvc/config",
        ".bonsai/x",
        "data/toy/x",
        ".git/config",
        "sitecustomize.py",
        "tasks/x.so",
        "tasks/__pycache__/x.pyc",
        "pulled.json",
        "Makefile",
    ],
)
def test_a_file_that_is_not_pushed_of_a_run_is_refused(pushed: tuple[Run, Path, Path], name: str) -> None:
    run, other, store = pushed
    path = store / "bonsai" / "runs" / run.id / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    with pytest.raises(UserError, match="which is no file that is pushed of a run"):
        remote.pull(other, run.id, "store")
    assert not (other / "runs" / run.id).exists()


@pytest.mark.parametrize("run_id", ["../x", "..", "/etc", "20260101-000000-a/../../b-0000", "", "x\0y"])
def test_a_run_is_pulled_by_an_id_only(pushed: tuple[Run, Path, Path], run_id: str) -> None:
    with pytest.raises(UserError, match="has no run"):
        remote.pull(pushed[1], run_id, "store")


def test_the_code_of_a_pulled_run_runs_only_after_a_yes(pushed: tuple[Run, Path, Path], bonsai: Any) -> None:
    run, other, _ = pushed
    pulled, _ = remote.pull(other, run.id, "store")
    assert run_record.is_foreign(pulled.folder)
    code, _, err = bonsai("verify", run.id)
    assert (code, err.count("\n")) == (2, 1)
    assert "add --trust" in err
    with pytest.raises(UserError, match="add --trust"):
        verify.verify(other, pulled)
    (pulled.folder / "tasks" / "stages" / "train.py").write_text("raise SystemExit('hostile')\n")
    with pytest.raises(UserError, match="add --trust"):
        restore(other, pulled, code=True, force=True)
    assert "hostile" not in (other / "tasks" / "stages" / "train.py").read_text()
