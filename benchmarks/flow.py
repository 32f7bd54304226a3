"""What conducting costs: a run from nothing and an unchanged one, by `dvc repro`, by command line, and by a deployment."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import yaml

from benchmarks import record
from benchmarks.scene import ROOT
from dashboard.readers import prefect_api
from flows import settings
from flows.runs import run_record

ROUNDS = 3
START_S = 300.0
BIN = Path(sys.executable).parent
BONSAI = (sys.executable, "-m", "flows.cli.main")
DVC = (sys.executable, "-m", "dvc")
Cost = dict[str, float]


def main() -> None:
    with TemporaryDirectory(prefix="bonsai-") as folder:
        bare, project = clone(Path(folder) / "bare"), clone(Path(folder) / "project")
        stages = len(yaml.safe_load(subprocess.check_output([*DVC, "stage", "list", "--name-only"], cwd=bare)).split())
        rows: list[dict[str, Any]] = [{"what": f"{stages} stages from nothing, plain `dvc repro`", **spent(bare, *DVC, "repro")}]
        repro = [spent(bare, *DVC, "repro", "--quiet") for _ in range(ROUNDS)]
        with up(project) as house:
            rows.append({"what": "the same by `bonsai run`, beside `bonsai up`", **house.beside("run")})
            before, after = rows[0], rows[1]
            overhead = {name: round((after[name] - before[name]) / stages, 3) for name in ("wall_s", "cpu_s")}
            unchanged = [house.beside("run") for _ in range(ROUNDS)]
            clicked = [house.clicked() for _ in range(ROUNDS)]
        alone = [spent(project, *BONSAI, "run") for _ in range(ROUNDS)]
        rows += [
            {"what": "unchanged, plain `dvc repro`", **median(repro)},
            {"what": "unchanged, `bonsai run` beside `bonsai up`", **median(unchanged)},
            {"what": "unchanged, a deployment of `bonsai up`, from request to end", **median(clicked)},
            {"what": "unchanged, `bonsai run` that brings its own server", **median(alone)},
        ]
    sentence = (
        f"Wall and CPU seconds of whole runs, all processes and the server counted; unchanged ones are medians of {ROUNDS}. "
        f"Over plain `dvc repro` a played stage costs {overhead['cpu_s']} CPU-s and {overhead['wall_s']} s more."
    )
    record.write("flow", sentence, rows, overhead_per_stage=overhead, stages=stages)


def clone(place: Path) -> Path:
    """The project with one use case, one recipe and little data, and nothing made yet."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
    params = yaml.safe_load((place / "params.yaml").read_text())
    vision = params["use_cases"]["vision"]
    vision |= {"fetch": {"source": "packaged", "limit": 1000}, "clean": {"max_reject_share": 1.0}}
    vision["training"]["epochs"] = 1
    params = {"use_cases": {"vision": vision}, "recipes": {name: params["recipes"][name] for name in ("dense", "int8")}}
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return place


class Supervisor:
    """A `bonsai up` that runs, and what is measured beside it."""

    def __init__(self, project: Path, process: subprocess.Popen[bytes]) -> None:
        self.project = project
        self.process = psutil.Process(process.pid)

    def beside(self, *arguments: str) -> Cost:
        """The cost of a command, and of what the house did meanwhile."""
        return self.counted(lambda: spent(self.project, *BONSAI, *arguments))

    def clicked(self) -> Cost:
        """The cost of a run of the deployment `all`, from the request to its end."""
        address = settings.read_server_file(self.project)
        server = prefect_api.Server(address["api_url"], address["auth_string"])
        chosen = next(each for each in server.deployments() if each.name == "all")

        def click() -> Cost:
            began = time.monotonic()
            flow_run = server.start(chosen, {}, str(began)).id
            while (state := server.flow_run(flow_run).state) not in run_record.FINAL:
                time.sleep(0.1)
            if state != "Completed":
                raise RuntimeError(f"the run of the deployment reads {state}")
            return {"wall_s": round(time.monotonic() - began, 2), "cpu_s": 0.0}

        return self.counted(click)

    def counted(self, context: Callable[[], Cost]) -> Cost:
        before = self.cpu_s()
        found = context()
        time.sleep(2)  # what ends after the run, such as the last events, is of it too
        return {**found, "cpu_s": round(found["cpu_s"] + self.cpu_s() - before, 2)}

    def cpu_s(self) -> float:
        """Of all its processes, those that ended included."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system + each.children_user + each.children_system for each in times))


@contextmanager
def up(project: Path) -> Iterator[Supervisor]:
    """`bonsai up` while the block runs."""
    log = project / "up.log"
    with log.open("wb") as file:
        command = [*BONSAI, "up", "--port", "0", "--dashboard-port", "0"]
        process = subprocess.Popen(command, cwd=project, env=environment(), stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_S
        while b"Ctrl-C stops everything" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"`bonsai up` does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        time.sleep(10)  # the server settles
        yield Supervisor(project, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def environment() -> Mapping[str, str]:
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **path}


def spent(folder: Path, *command: str) -> Cost:
    """Wall and CPU seconds of a command and all its children; what it prints is shown when it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - began, 2), "cpu_s": round(cpu_s, 2)}


def median(costs: list[Cost]) -> Cost:
    return {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
