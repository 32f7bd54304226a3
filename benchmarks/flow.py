"""What conducting costs: a run from nothing, an unchanged run with and without a server, and plain `dvc repro`."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import record
from benchmarks.scene import ROOT
from tasks.journal import read

ROUNDS = 3
QUICK = ("--set", "training.epochs=1", "--set", "fetch.limit=1000", "--set", "clean.max_reject_share=1", "--recipe", "int8")
BIN = Path(sys.executable).parent


def main() -> None:
    with TemporaryDirectory(prefix="bonsai-") as folder:
        project = Path(folder) / "project"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
        cold = spent(project, ["bonsai", "run", "vision", *QUICK])
        stages = sorted((newest(project) / "journal").glob("*.jsonl"))
        works = sum(last["cpu_s"] for path in stages if (last := list(read(path))[-1])["event"] == "finished")
        rows = [
            {
                "what": f"`bonsai run`, {len(stages)} stages from nothing, its own server included",
                **cold,
                "work_cpu_s": works,
                "overhead_cpu_s_per_stage": (cold["cpu_s"] - works) / len(stages),
            }
        ]
        unchanged = [spent(project, ["bonsai", "run", "vision", *QUICK]) for _ in range(ROUNDS)]
        rows.append({"what": "unchanged, no server: one is started for the run", **median(unchanged)})
        with server(project) as environment:
            unchanged = [spent(project, ["bonsai", "run", "vision", *QUICK], environment) for _ in range(ROUNDS)]
            rows.append({"what": "unchanged, a server running", **median(unchanged)})
        repro = [spent(newest(project), ["dvc", "repro", "--quiet"]) for _ in range(ROUNDS)]
        rows.append({"what": "unchanged, plain `dvc repro` in the run's folder", **median(repro)})
    record.write("flow", f"Wall and CPU time of whole commands; unchanged ones are medians of {ROUNDS}.", rows)


def newest(project: Path) -> Path:
    """The folder of the last run."""
    return sorted((project / "runs").iterdir())[-1]


def spent(folder: Path, command: list[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Wall and CPU seconds of a command and all its children; what it prints is shown when it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env={**os.environ, **path, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - began, 2), "cpu_s": round(cpu_s, 2)}


def median(costs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}


@contextmanager
def server(project: Path) -> Iterator[dict[str, str]]:
    """A Prefect server beside the runs, as a person would keep one; what a run needs to find it."""
    from flows.server import started

    with started(project) as running:
        running.wait_until_healthy()
        yield {"PREFECT_API_URL": running.api_url, "PREFECT_API_AUTH_STRING": running.password}
