"""What the campaign disturbs: a forked process does one command in a toy project, with a fault at the k-th call to the disk.

`python -m tests.faults.commands CONTROL` reads requests from standard input, one JSON object per line, and answers each.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from flows.maintenance import remote
from flows.maintenance.garbage_collection import collect_garbage
from flows.maintenance.restore import restore
from flows.registry import history, versions
from flows.runs import recovery, run_record, search
from flows.runs.search import RunAnnotation
from tasks.core.errors import UserError
from tests.support.executed_runs import execute_run
from tests.support.toy_project import use_toy_registry

SECONDS = 120


def newest(root: Path) -> run_record.Run:
    return next(run for run in run_record.iter_runs(root) if run.is_readable and run.record["state"] == "Completed")


def register(root: Path) -> None:
    with history.writing(root, "toy") as registered:
        run = newest(root)
        versions.register(root, registered, run.folder / "data" / "toy" / "release", run.id, run.folder)


def run_changed(root: Path) -> None:
    recovery.recover(root)
    if execute_run(root, overrides={"model.width": 7}).record["state"] != "Completed":
        raise UserError("the run failed")


def run_all(root: Path) -> None:
    recovery.recover(root)
    if execute_run(root).record["state"] != "Completed":
        raise UserError("the run failed")


COMMANDS: dict[str, Callable[[Path], object]] = {
    "run": run_changed,
    "run unchanged": run_all,
    "restore": lambda root: restore(root, newest(root), force=True),
    "gc": lambda root: collect_garbage(root, keep=1),
    "push": lambda root: remote.push(root, newest(root), "store"),
    "pull": lambda root: remote.pull(root, remote.remote_runs(root, "store")[0], "store"),
    "pin": lambda root: search.write_annotation(newest(root).folder, RunAnnotation(pinned=True, text="x")),
    "recover": recovery.recover,
}


def serve(control_path: Path) -> None:
    """Answer requests `{root, command, armed, action}` by `{outcome, text, count}`."""
    with control_path.open("r+b") as file:
        control = mmap.mmap(file.fileno(), 24)
    for line in sys.stdin:
        request = json.loads(line)
        control[:24] = struct.pack("3q", request["armed"], 0, request["action"])
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os._exit(_child(Path(request["root"]), request["command"], control_path.with_suffix(".txt")))
        outcome = _wait(pid)
        count = struct.unpack("3q", control[:24])[1]
        control[:24] = struct.pack("3q", 0, 0, 0)
        text = control_path.with_suffix(".txt")
        answer = {"outcome": outcome, "count": count, "text": text.read_text(errors="replace") if text.exists() else ""}
        text.unlink(missing_ok=True)
        print(json.dumps(answer), flush=True)


def _child(root: Path, command: str, answer: Path) -> int:
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), os.environ["PYTHONPATH"]])
    try:
        with pytest.MonkeyPatch.context() as patch, chdir(root):
            use_toy_registry(root, patch)
            COMMANDS[command](root)
    except UserError as error:
        answer.write_text(str(error))
        return 2
    except (OSError, sqlite3.OperationalError) as error:
        answer.write_text(f"{type(error).__name__}: {error}")
        return 3
    except BaseException as error:
        answer.write_text(f"{type(error).__name__}: {error}")
        return 4
    return 0


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
