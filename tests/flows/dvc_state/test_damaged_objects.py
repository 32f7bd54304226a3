"""A damaged object of the cache is found before it is used, set aside by name, and made again by the next run."""

from __future__ import annotations

import os
import random
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from flows.dvc_state import object_cache
from flows.maintenance.restore import restore
from tasks.core.errors import UserError
from tests.support.executed_runs import both_runs, cached_objects, execute_run, is_up_to_date, model_sum


def damage(path: Path, how: str = "flip") -> None:
    """Damage a cached object as a faulty disk would: its mode, size (but for `cut`) and time stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    else:
        content = content[: len(content) // 2]
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def object_of(project: Path, stage: str, *, listing: bool = False) -> Path:
    """A file of a stage's output in the cache, or the list of the output's folder."""
    ((_, out),) = both_runs(project)[0].record["stages"][stage]["outs"].items()
    objects = object_cache.objects_folder(project)
    files = object_cache.folder_files(objects, out["md5"])
    return object_cache.object_path(objects, out["md5"] if listing else files[min(files)])


@pytest.mark.parametrize("stage", ["fetch@toy", "clean@toy", "train@toy", "release@toy"])
@pytest.mark.parametrize("how", ["flip", "cut", "listing"])
def test_the_next_run_makes_a_damaged_object_again_and_names_it(project: Path, stage: str, how: str) -> None:
    intact = {path: path.read_bytes() for path in cached_objects(project)}
    victim = object_of(project, stage, listing=how == "listing")
    damage(victim, "cut" if how == "cut" else "flip")
    run = execute_run(project)
    assert run.record["state"] == "Completed"
    assert run.record["stages"][stage]["state"] == "Completed", "it was run again"
    reasons = " ".join(reason["text"] for reason in run.record["stages"][stage]["reasons"])
    assert f"the cached object {object_cache.object_hash(victim)} was damaged; it is set aside as" in reasons
    assert all(object_cache.is_intact(path) for path in cached_objects(project))
    if not stage.startswith("release"):  # whose inputs hold measured times
        assert victim.read_bytes() == intact[victim]
    assert len(list((project / ".dvc" / "cache" / "damaged").iterdir())) == 1
    assert is_up_to_date(project)


def test_a_forced_run_puts_intact_objects_in_the_place_of_damaged_ones(project: Path) -> None:
    victim = object_of(project, "train@toy")
    content = victim.read_bytes()
    damage(victim)
    run = execute_run(project, overrides={"augment.copies": 1})  # the same parameters, by another name
    assert run.record["state"] == "Completed"
    assert victim.read_bytes() == content


def test_restore_refuses_a_damaged_object_and_its_advice_helps(project: Path) -> None:
    second, rng = both_runs(project)[1], random.Random(5)
    before = model_sum(project)
    objects = object_cache.objects_folder(project)
    timings = [run.record["stages"]["latency@toy"]["outs"]["data/toy/latency"]["md5"] for run in both_runs(project)]
    measured = {object_cache.object_path(objects, md5) for md5 in object_cache.referenced_hashes(objects, timings)}
    for victim in rng.sample(sorted(cached_objects(project) - measured), 4):  # measured times are never the same again
        damage(victim)
    with pytest.raises(UserError, match=r"was damaged; it is set aside as .* `bonsai run` with its parameters, brings them back"):
        restore(project, second)
    with chdir(project):
        assert execute_run(project, overrides={"model.width": 5}).record["state"] == "Completed"
        restore(project, second)
    assert model_sum(project) == before * 5 / 4


def test_a_damaged_artifact_of_the_projects_folder_is_kept_aside_and_replaced(project: Path, bonsai: Any) -> None:
    place = project / "data" / "toy" / "model" / "model.json"
    content = place.read_bytes()
    place.unlink()
    place.write_bytes(content.replace(b"sum", b"sun"))
    with chdir(project):
        execute_run(project)
    assert place.read_bytes() == content
    (kept,) = (project / ".bonsai" / "damaged").iterdir()
    assert (kept / "model.json").read_bytes() == content.replace(b"sum", b"sun")
    release = project / "data" / "toy" / "release" / "verdict.json"
    text = release.read_text()
    release.unlink()
    release.write_text(text.replace("released", "refused ", 1))
    code, _, err = bonsai("verdict", "workspace")
    assert (code, "verdict.json is damaged" in err) == (2, True)
