"""Flipped bits in records, artifacts, locks, manifests and cached objects: each is named or harmless, and none silently used."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.readers import project_files
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from flows.dvc_state import hash_database, object_cache
from flows.dvc_state.stage_state import open_repo
from flows.execution.plan import project_status
from flows.maintenance import remote
from flows.maintenance.garbage_collection import collect_garbage
from flows.runs import run_record
from flows.services import prefect_database
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact
from tests.faults.trial_log import in_memory
from tests.support.executed_runs import COMMENTED_PARAMS, execute_run
from tests.support.toy_project import build_project, use_toy_registry

Doors = dict[str, tuple[list[Path], Callable[[Path], bool]]]


@dataclass(slots=True)
class Outcome:
    """What came of the flips in one kind of file."""

    flips: int = 0
    named: int = 0
    silent: list[str] = field(default_factory=list)
    unnamed: Counter[str] = field(default_factory=Counter)


def flip(path: Path, rng: random.Random) -> bytes:
    """Flip one bit of a file, with its time and mode kept; returns what it held."""
    before, content = path.stat(), path.read_bytes()
    data = bytearray(content)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    write(path, bytes(data), before)
    return content


def write(path: Path, content: bytes, before: os.stat_result) -> None:
    path.unlink()
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def run(count: int, seed: int) -> dict[str, Outcome]:
    """Flip `count` bits in all, one at a time, an equal share in each kind of file, and open the file by every reader of it."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=in_memory()) as place, pytest.MonkeyPatch.context() as patch:
        root = build_project(Path(place) / "toy", COMMENTED_PARAMS)
        patch.setenv("PYTHONPATH", str(root))
        use_toy_registry(root, patch)
        with chdir(root):
            made = execute_run(root)
            doors = {**_doors(root, made), **_remote_doors(root, made), **_database_doors(root)}
            outcomes = {name: Outcome() for name in doors}
            for number in range(count):
                name = list(doors)[number % len(doors)]
                files, opened = doors[name]
                path = rng.choice(files)
                before = path.stat()
                content = flip(path, rng)
                _judge(outcomes[name], path, opened)
                if path.exists():
                    write(path, content, before)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                shutil.rmtree(root / ".dvc" / "cache" / object_cache.DAMAGED_FOLDER, ignore_errors=True)
    return outcomes


def _doors(root: Path, made: run_record.Run) -> Doors:
    """For each kind of file, the files and what opens one; it returns whether the damage was named."""
    objects = object_cache.objects_folder(root)
    artifacts = [path.parent for path in sorted(made.folder.rglob("checksums.json"))]
    files = [path for artifact in artifacts for path in sorted(artifact.rglob("*")) if path.is_file()]

    def record(path: Path) -> bool:
        line = next(run for run in run_record.iter_runs(root) if run.id == made.id).damage
        run_records._parse_record.cache_clear()
        seen = run_records.list_runs(root)
        return bool(line) and len(seen.runs) + len(seen.unreadable) == 1

    def artifact(path: Path) -> bool:
        Artifact(next(folder for folder in artifacts if path.is_relative_to(folder))).open()
        return False

    def page(path: Path) -> bool:
        project_files.check_artifact(root, path)
        return False

    def cached(path: Path) -> bool:
        return object_cache.damaged_objects(objects, [object_cache.object_hash(path)]) == [path]

    def collected(path: Path) -> bool:
        before = set(objects.glob("??/*"))
        collect_garbage(root, keep=5)
        return set(objects.glob("??/*")) >= before  # the damage is named, or it costs nothing

    return {
        "record": ([made.folder / "run.json"], record),
        "artifact, stage": (files, artifact),
        "artifact, dashboard": (files, page),
        "cache": (sorted(objects.glob("??/*")), cached),
        "lock, gc": ([root / "dvc.lock", made.folder / "dvc.lock"], collected),
    }


def _remote_doors(root: Path, made: run_record.Run) -> Doors:
    """The objects of a remote and its records, opened by `pull` in another project."""
    store, other = root.parent / "remote", build_project(root.parent / "other", COMMENTED_PARAMS)
    for project in (root, other):
        with (project / ".dvc" / "config").open("a") as config:
            config.write(f"['remote \"store\"']\n    url = {store}\n")
    remote.push(root, made, "store")
    remote.pull(other, made.id, "store")
    objects = object_cache.objects_folder(other)
    pushed = store.joinpath(*remote.RUNS_PATH, made.id)

    def fetched(path: Path) -> bool:
        object_cache.object_path(objects, object_cache.object_hash(path)).unlink(missing_ok=True)
        remote.pull(other, made.id, "store")  # names the damaged object
        return False

    def pulled(path: Path) -> bool:
        shutil.rmtree(other / "runs" / made.id, ignore_errors=True)
        run, _ = remote.pull(other, made.id, "store")
        line = next(each for each in run_record.iter_runs(other) if each.id == run.id).damage
        return bool(line) and run.record["stages"] == made.record["stages"]  # the copy of the record is read

    return {
        "remote, object": (sorted((store / "files" / "md5").glob("??/*")), fetched),
        "remote, record": ([pushed / "run.json"], pulled),
    }


def _database_doors(root: Path) -> Doors:
    """The run-cache, DVC's own databases and Prefect's: what is damaged is not believed, and no command fails for it."""
    entries = {path: path.read_bytes() for path in (root / ".dvc" / "cache" / "runs").glob("??/*/*")}
    environment = {**os.environ, "PREFECT_HOME": str(root / ".prefect")}
    upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    subprocess.run(upgrade, env=environment, check=True, capture_output=True)
    project_status(root)  # DVC makes its databases

    def believed(path: Path) -> bool:
        with open_repo(root) as repo:
            entry = repo.stage_cache._load_cache(path.parent.name, path.name)
        return entry is None or _without_sizes(entry) == _without_sizes(yaml.safe_load(entries[path]))

    def judged(path: Path) -> bool:
        return not any(project_status(root).values())  # it is deleted, or what it says is not wrong

    def started(path: Path) -> bool:
        if not prefect_database.set_aside_if_damaged(root):
            prefect_database.prune(root, kept=(), removed=())  # no error: the flip is in free space or within a text
        for path in (root / ".prefect").glob("prefect.db.damaged-*"):
            path.unlink()
        return True

    return {
        "run-cache": (sorted(entries), believed),
        "database, DVC": (sorted(hash_database.folder(root).rglob("*.db")), judged),
        "database, Prefect": ([root / ".prefect" / prefect_database.FILE], started),
    }


def _without_sizes(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the run-cache without sizes and counts, which a stage that is restored takes from its outputs."""
    sized = {part: [{**each, "size": 0, "nfiles": 0} for each in entry[part]] for part in ("deps", "outs")}
    return {**entry, **sized}


def _judge(outcome: Outcome, path: Path, opened: Callable[[Path], bool]) -> None:
    outcome.flips += 1
    try:
        if opened(path):
            outcome.named += 1
        else:
            outcome.silent.append(str(path))
    except (UserError, Unreadable):
        outcome.named += 1
    except Exception as error:
        outcome.unnamed[f"{type(error).__name__}: {str(error)[:200]}"] += 1
