"""The command line and DVC as processes in a toy project, and what runs leave there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support.toy_project import REPOSITORY

Env = dict[str, str]
"""Environment variables that select a Prefect server; empty for none."""


def environment(toy: Path, server: Env) -> dict[str, str]:
    """The variables of a process in the toy project, without Prefect's own but with those that select `server`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    here = {"PYTHONPATH": os.pathsep.join([str(toy), str(REPOSITORY)]), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **here, "OMP_NUM_THREADS": "1", **server}


def start_bonsai(toy: Path, *arguments: str, server: Env) -> subprocess.Popen[str]:
    """Start `bonsai` with these arguments."""
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=toy, env=environment(toy, server), stdout=pipe, stderr=subprocess.STDOUT, text=True)


def run_bonsai(toy: Path, *arguments: str, server: Env, code: int = 0) -> str:
    """Run `bonsai` with these arguments; returns its output. It must end with `code`."""
    process = start_bonsai(toy, *arguments, server=server)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == code, output
    return output


def run_dvc(folder: Path, *arguments: str) -> str:
    """Run DVC with these arguments; returns its output. It must succeed."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, {}), capture_output=True, text=True, check=True, timeout=250
    )
    return done.stdout + done.stderr


def run_folders(toy: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    return sorted((toy / "runs").iterdir())


def read_records(toy: Path) -> list[dict[str, Any]]:
    """The records of all runs, oldest first; a run that is being created may not have one yet."""
    return [json.loads(path.read_text()) for path in sorted((toy / "runs").glob("*/run.json"))]


def stage_states(record: dict[str, Any]) -> dict[str, str]:
    """The state of each stage in a run's record."""
    return {name: entry["state"] for name, entry in record["stages"].items()}


def output_hashes(folder: Path) -> dict[str, list[str]]:
    """The output hashes in dvc.lock of every stage whose outputs hold no measured times."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        name: [out["md5"] for out in entry["outs"]]
        for name, entry in stages.items()
        if not name.startswith(("latency", "release"))
    }


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> Any:
    """Wait until the condition is true, and return its value; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"did not happen in {seconds} s")


def has_ended(process: int | psutil.Process) -> bool:
    """Whether the process has ended, reaped or not. Give a `psutil.Process` where its pid may be reused meanwhile."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until all of them have ended; fail after `seconds` with what still runs."""
    deadline = time.monotonic() + seconds
    while running := [process for process in processes if not has_ended(process)]:
        if time.monotonic() > deadline:
            raise AssertionError(
                f"after {seconds} s these still run: {[process.as_dict(['cmdline', 'status']) for process in running]}"
            )
        time.sleep(0.1)
