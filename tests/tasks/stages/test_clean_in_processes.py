"""Clean gives the same bytes on the Dask cluster that is named, and when workers or the stage itself are killed."""

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

import psutil
import pytest
import yaml

from tasks.core.storage.artifacts import CHECKSUMS

ROOT = Path(__file__).parents[3]

Start = Callable[..., "subprocess.Popen[bytes]"]


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"did not happen in {seconds} s")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the digits fetched, in many partitions."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    stanza = {"fetch": {"source": "packaged", "partition_rows": 100}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"use_cases": {"vision": stanza}, "recipes": {"dense": []}}))
    run_stage(folder, "fetch")
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "BONSAI_SMALL_ROWS": "0", **more}


def run_stage(folder: Path, stage: str, **more: str) -> None:
    command = [sys.executable, "-m", "tasks", stage, "vision"]
    result = subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def start(workspace: Path) -> Iterator[Start]:
    """Start a Python module in a process of its own, ended with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start_module(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=workspace, env=environment(**more))
        processes.append(process)
        return process

    yield start_module
    for process in reversed(processes):
        process.kill()
        process.wait()


def finished_tasks(workspace: Path) -> int:
    """The number of tasks that the clean stage has finished."""
    path = workspace / "journal" / "clean@vision.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["done"] for line in lines if '"progress"' in line and line.endswith("}")), default=0)


@pytest.mark.slow
def test_an_external_cluster_gives_the_same_bytes_after_losing_a_worker(workspace: Path, start: Start) -> None:
    run_stage(workspace, "clean")
    local = (workspace / "data" / "vision" / "clean" / "checksums.json").read_text()
    shutil.rmtree(workspace / "data" / "vision" / "clean")
    (workspace / "journal" / "clean@vision.jsonl").unlink()
    scheduler_file = workspace / "scheduler.json"
    options = ("--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", str(scheduler_file))
    start("distributed.cli.dask_scheduler", "--port", "0", *options)
    wait_for(lambda: scheduler_file.exists() and scheduler_file.read_text().endswith("}"))
    workers = [start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *options) for _ in range(2)]
    address = json.loads(scheduler_file.read_text())["address"]
    cleaning = start("tasks", "clean", "vision", DASK_SCHEDULER_ADDRESS=address)
    wait_for(lambda: finished_tasks(workspace) >= 3 or cleaning.poll() is not None)
    workers[0].kill()
    assert cleaning.poll() is None, "it was killed midway"
    assert cleaning.wait(200) == 0
    assert (workspace / "data" / "vision" / "clean" / "checksums.json").read_text() == local
    run_stage(workspace, "augment", DASK_SCHEDULER_ADDRESS=address)
    assert (workspace / "data" / "vision" / "augmented" / "checksums.json").exists()


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named_in_one_line(workspace: Path) -> None:
    command = [sys.executable, "-m", "tasks", "clean", "vision"]
    address = environment(DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    result = subprocess.run(command, cwd=workspace, env=address, capture_output=True, text=True, timeout=250)
    assert result.returncode == 2
    assert "no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=tcp://127.0.0.1:9" in result.stderr


def start_stage(root: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasks", name, "vision"]
    own = {**os.environ, "PYTHONPATH": str(ROOT), "BONSAI_SMALL_ROWS": "0"}
    return subprocess.Popen(command, cwd=root, env=own, stderr=subprocess.DEVNULL)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, bytes]:
    """Raw digits in ten partitions, and the checksums of an undisturbed clean on one core."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    settings = {"vision": {"fetch": {"partition_rows": 100, "limit": 1000}, "training": {"seed": 7}}}
    (tmp_path / "params.yaml").write_text(json.dumps({"use_cases": settings, "recipes": {"dense": []}}))
    assert start_stage(tmp_path, "fetch").wait() == 0
    one_core = subprocess.run(
        [sys.executable, "-c", "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
         "os.execv(sys.executable, [sys.executable, '-m', 'tasks', 'clean', 'vision'])"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
    )  # fmt: skip
    assert one_core.returncode == 0, one_core.stderr.decode()
    return tmp_path, (tmp_path / "data/vision/clean" / CHECKSUMS).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["one", "all"])
def test_workers_killed_in_the_middle_change_no_byte_and_leave_no_process(digits: tuple[Path, bytes], victims: str) -> None:
    root, undisturbed = digits
    process = start_stage(root, "clean")
    killed: set[int] = set()
    event_log = root / "journal" / "clean@vision.jsonl"
    while process.poll() is None and not killed:
        if '"unit": "cleaned"' in event_log.read_text():
            workers = [child for child in psutil.Process(process.pid).children(recursive=True) if child.num_threads() > 3]
            for worker in workers[:1] if victims == "one" else workers:
                worker.kill()
                killed.add(worker.pid)
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    assert process.wait() == 0, event_log.read_text()
    assert killed
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.slow
def test_a_stage_killed_in_the_middle_leaves_no_process_and_the_next_one_finishes(digits: tuple[Path, bytes]) -> None:
    root, undisturbed = digits
    process = start_stage(root, "clean")
    while '"unit": "cleaned"' not in (root / "journal" / "clean@vision.jsonl").read_text():
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
    assert start_stage(root, "clean").wait() == 0
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
