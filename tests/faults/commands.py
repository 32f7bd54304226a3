"""What the campaign disturbs: a forked process does one command in a toy project, with a fault at the k-th call to the disk.

`python -m tests.faults.commands CONTROL` reads requests from standard input, one JSON object per line, and answers each.
"""

from __future__ import annotations

import gc
import importlib
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path

import pytest

from flows.dvc_state import object_cache
from flows.dvc_state.lock_file import parse_checked_entries
from flows.maintenance import remote
from flows.maintenance.garbage_collection import collect_garbage
from flows.maintenance.restore import restore
from flows.registry import history, versions
from flows.runs import recovery, run_record, search
from flows.runs.search import RunAnnotation
from tasks.core.errors import UserError
from tests.support.executed_runs import execute_run
from tests.support.toy_project import use_toy_registry

Hashes = dict[str, list[str]]
SECONDS = 120
TIMED = ("latency", "release")
"""Stages whose outputs hold measured times."""
PROJECT_PACKAGES = ("tasks.use_cases.", "tasks.models.", "tasks.compression.steps.")
"""Packages that a toy project replaces by its own."""


def newest(root: Path) -> run_record.Run:
    """The newest completed run; raises `UserError` if none is left, as after a failed run and a collection that keeps one."""
    for each in run_record.iter_runs(root):
        if each.is_readable and each.record["state"] == "Completed":
            return each
    raise UserError("no run is completed")


def run(root: Path, width: int | None = None) -> Hashes:
    """A run with the project's parameters, or with another width; the hashes of its outputs."""
    recovery.recover(root)
    done = execute_run(root, **({"overrides": {"model.width": width}} if width else {}))
    if done.record["state"] != "Completed":
        raise UserError(f"the run failed: {done.record['error']}")
    stages = done.record["stages"].items()
    return {name: [out["md5"] for out in entry["outs"].values()] for name, entry in stages if not name.startswith(TIMED)}


def register(root: Path) -> None:
    """Register the newest release, as promotion does; the toy has no model to compare with the champion."""
    with history.writing(root, "toy") as registered:
        made = newest(root)
        version = versions.register(root, registered, made.folder / "data" / "toy" / "release", made.id, made.folder)
        history.append(root, registered, history.POINTED, alias="champion", version=version.number, why="promote")


def check(root: Path) -> list[str]:
    """What nobody would want to find in a project after a plain run and a collection of garbage."""
    objects, problems = object_cache.objects_folder(root), []
    runs = list(run_record.iter_runs(root))
    problems += [f"the record of {each.id} is damaged" for each in runs if not each.is_readable or each.damage]
    problems += [f"{each.id} is {each.record['state']}" for each in runs if each.record["state"] not in run_record.FINAL_STATES]
    hashes = list(object_cache.output_hashes(parse_checked_entries((root / "dvc.lock").read_text())))
    problems += [f"the object {md5} is missing" for md5 in object_cache.missing_hashes(objects, hashes)]
    problems += [f"{path} is damaged" for path in objects.glob("??/*") if not object_cache.is_intact(path)]
    problems += [f"{path} is left over" for path in root.rglob(".*.partial")]
    return problems


DISTURBED: dict[str, Callable[[Path], object]] = {
    "run, all new": lambda root: run(root, 9),
    "run, all known": lambda root: run(root, 7),
    "run, unchanged": run,
    "restore": lambda root: restore(root, newest(root), force=True),
    "gc": lambda root: collect_garbage(root, keep=1),
    "push": lambda root: remote.push(root, newest(root), "store"),
    "pull, all new": lambda root: remote.pull(root, remote.remote_runs(root, "store")[0], "store"),
    "pull, all known": lambda root: remote.pull(root, remote.remote_runs(root, "store")[0], "store"),
    "pin": lambda root: search.write_annotation(newest(root).folder, RunAnnotation(pinned=True, text="x")),
    "register": register,
    "recover": recovery.recover,
}
COMMANDS = {**DISTURBED, "check": check}


def serve(control_path: Path) -> None:
    """Answer requests `{root, command, armed, action}` by `{outcome, text, value, count}`."""
    with control_path.open("r+b") as file:
        control = mmap.mmap(file.fileno(), 24)
    answer_path = control_path.with_suffix(".answer")
    for line in sys.stdin:
        request = json.loads(line)
        answer_path.unlink(missing_ok=True)
        gc.freeze()  # so that the children do not copy what they only look at
        control[:24] = struct.pack("3q", request["armed"], 0, request["action"])
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os._exit(_child(Path(request["root"]), request["command"], answer_path))
        outcome = _wait(pid)
        count = struct.unpack("3q", control[:24])[1]
        control[:24] = struct.pack("3q", 0, 0, 0)
        said = json.loads(answer_path.read_text()) if answer_path.exists() else {"text": "", "value": None, "modules": []}
        if request["armed"] == 0:
            _import(said["modules"])
        print(json.dumps({**said, "outcome": outcome, "count": count, "modules": None}), flush=True)


def _import(names: list[str]) -> None:
    """Load what an undisturbed child had to load, so that the next ones find it loaded."""
    for name in names:
        if name not in sys.modules and not name.startswith(PROJECT_PACKAGES):
            with suppress(ImportError):
                importlib.import_module(name)


def _child(root: Path, command: str, answer: Path) -> int:
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), os.environ["PYTHONPATH"]])
    code, text, value = 0, "", None
    try:
        with pytest.MonkeyPatch.context() as patch, chdir(root):
            use_toy_registry(root, patch)
            result = COMMANDS[command](root)
            value = result if isinstance(result, dict | list) else None
    except UserError as error:
        code, text = 2, str(error)
    except (OSError, sqlite3.OperationalError) as error:
        code, text = 3, f"{type(error).__name__}: {error}"
    except BaseException as error:
        code, text = 4, f"{type(error).__name__}: {error}"
    answer.write_text(json.dumps({"text": text, "value": value, "modules": list(sys.modules)}))
    return code


def _wait(pid: int) -> str:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return "killed"
            return {0: "done", 2: "refused", 3: "disk error"}.get(os.WEXITSTATUS(status), "other error")
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hang"


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
