"""Cleaning goes to the Dask cluster that is named, in processes of its own, and ends with the same bytes when one is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]

Start = Callable[..., "subprocess.Popen[bytes]"]


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"did not happen in {seconds} s")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A workspace with the digits fetched, in many partitions."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    stanza = {"fetch": {"source": "packaged", "partition_rows": 100}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"use_cases": {"vision": stanza}, "recipes": {"dense": []}}))
    play(folder, "fetch")
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def play(folder: Path, stage: str, **more: str) -> None:
    command = [sys.executable, "-m", "tasks", stage, "vision"]
    done = subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def start(context: Path) -> Iterator[Start]:
    """Start a Python module in a process of its own, ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def one(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=context, env=environment(**more))
        started.append(process)
        return process

    yield one
    for process in reversed(started):
        process.kill()
        process.wait()


def done(context: Path) -> int:
    """How many pieces the clean stage has brought home."""
    path = context / "journal" / "clean@vision.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["done"] for line in lines if '"progress"' in line and line.endswith("}")), default=0)


@pytest.mark.slow
def test_a_cluster_elsewhere_does_the_work_and_may_lose_a_worker(context: Path, start: Start) -> None:
    play(context, "clean")
    here = (context / "data" / "vision" / "clean" / "checksums.json").read_text()
    shutil.rmtree(context / "data" / "vision" / "clean")
    (context / "journal" / "clean@vision.jsonl").unlink()
    about = context / "scheduler.json"
    quiet = ("--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", str(about))
    start("distributed.cli.dask_scheduler", "--port", "0", *quiet)
    wait_for(lambda: about.exists() and about.read_text().endswith("}"))
    workers = [start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *quiet) for _ in range(2)]
    address = json.loads(about.read_text())["address"]
    cleaning = start("tasks", "clean", "vision", DASK_SCHEDULER_ADDRESS=address)
    wait_for(lambda: done(context) >= 3 or cleaning.poll() is not None)
    workers[0].kill()
    assert cleaning.poll() is None, "it was killed midway"
    assert cleaning.wait(200) == 0
    assert (context / "data" / "vision" / "clean" / "checksums.json").read_text() == here
    play(context, "augment", DASK_SCHEDULER_ADDRESS=address)
    assert (context / "data" / "vision" / "augmented" / "checksums.json").exists()


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_said_in_one_line(context: Path) -> None:
    command = [sys.executable, "-m", "tasks", "clean", "vision"]
    address = environment(DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    ended = subprocess.run(command, cwd=context, env=address, capture_output=True, text=True, timeout=250)
    assert ended.returncode == 2
    assert "no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=tcp://127.0.0.1:9" in ended.stderr
