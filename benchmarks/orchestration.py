"""Cost of the orchestration: a run from nothing and an unchanged run, by `dvc repro`, `bonsai run` and a deployment."""

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
from benchmarks.stage_workspace import ROOT
from dashboard.readers import prefect_api
from flows import settings
from flows.runs import run_record

ROUNDS = 3
START_TIMEOUT_S = 300.0
BIN = Path(sys.executable).parent
BONSAI = (sys.executable, "-m", "flows.cli.main")
DVC = (sys.executable, "-m", "dvc")
Cost = dict[str, float]


def main() -> None:
    with TemporaryDirectory(prefix="bonsai-") as folder:
        bare, project = clone(Path(folder) / "bare"), clone(Path(folder) / "project")
        stages = len(yaml.safe_load(subprocess.check_output([*DVC, "stage", "list", "--name-only"], cwd=bare)).split())
        rows: list[dict[str, Any]] = [
            {"what": f"{stages} stages from nothing, plain `dvc repro`", **command_cost(bare, *DVC, "repro")}
        ]
        repro = [command_cost(bare, *DVC, "repro", "--quiet") for _ in range(ROUNDS)]
        with running_services(project) as services:
            rows.append({"what": "the same by `bonsai run`, beside `bonsai up`", **services.cost_beside("run")})
            before, after = rows[0], rows[1]
            overhead = {name: round((after[name] - before[name]) / stages, 3) for name in ("wall_s", "cpu_s")}
            unchanged = [services.cost_beside("run") for _ in range(ROUNDS)]
            by_deployment = [services.deployment_cost() for _ in range(ROUNDS)]
        own_server = [command_cost(project, *BONSAI, "run") for _ in range(ROUNDS)]
        rows += [
            {"what": "unchanged, plain `dvc repro`", **median(repro)},
            {"what": "unchanged, `bonsai run` beside `bonsai up`", **median(unchanged)},
            {"what": "unchanged, a deployment of `bonsai up`, from request to end", **median(by_deployment)},
            {"what": "unchanged, `bonsai run` that brings its own server", **median(own_server)},
        ]
    sentence = (
        f"Wall and CPU seconds of whole runs, all processes and the server counted; unchanged ones are medians of {ROUNDS}. "
        f"Over plain `dvc repro` a stage costs {overhead['cpu_s']} CPU-s and {overhead['wall_s']} s more."
    )
    record.write("orchestration", sentence, rows, overhead_per_stage=overhead, stages=stages)


def clone(project: Path) -> Path:
    """A clone of the project with one use case, two recipes and little data, without artifacts."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    params = yaml.safe_load((project / "params.yaml").read_text())
    vision = params["use_cases"]["vision"]
    vision |= {"fetch": {"source": "packaged", "limit": 1000}, "clean": {"max_reject_share": 1.0}}
    vision["training"]["epochs"] = 1
    params = {"use_cases": {"vision": vision}, "recipes": {name: params["recipes"][name] for name in ("dense", "int8")}}
    params["seeds"] = []
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return project


class RunningServices:
    """A running `bonsai up`, and measurements beside it."""

    def __init__(self, project: Path, process: subprocess.Popen[bytes]) -> None:
        self.project = project
        self.process = psutil.Process(process.pid)

    def cost_beside(self, *arguments: str) -> Cost:
        """The cost of a command, and of the services meanwhile."""
        return self.with_services_cost(lambda: command_cost(self.project, *BONSAI, *arguments))

    def deployment_cost(self) -> Cost:
        """The cost of a run of the deployment `all`, from the request to its end."""
        address = settings.read_server_file(self.project)
        server = prefect_api.Server(address["api_url"], address["auth_string"])
        chosen = next(each for each in server.deployments() if each.name == "all")

        def click() -> Cost:
            began = time.monotonic()
            flow_run = server.start(chosen, {}, str(began)).id
            while (state := server.flow_run(flow_run).state) not in run_record.FINAL_STATES:
                time.sleep(0.1)
            if state != "Completed":
                raise RuntimeError(f"the run of the deployment reads {state}")
            return {"wall_s": round(time.monotonic() - began, 2), "cpu_s": 0.0}

        return self.with_services_cost(click)

    def with_services_cost(self, measured: Callable[[], Cost]) -> Cost:
        before = self.cpu_s()
        cost = measured()
        time.sleep(2)  # work that ends after the run, such as the last events, counts too
        return {**cost, "cpu_s": round(cost["cpu_s"] + self.cpu_s() - before, 2)}

    def cpu_s(self) -> float:
        """CPU seconds of all processes, ended ones included."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system + each.children_user + each.children_system for each in times))


@contextmanager
def running_services(project: Path) -> Iterator[RunningServices]:
    """`bonsai up` while the block runs."""
    log = project / "up.log"
    with log.open("wb") as file:
        command = [*BONSAI, "up", "--port", "0", "--dashboard-port", "0"]
        process = subprocess.Popen(command, cwd=project, env=environment(), stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"Ctrl-C stops everything" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"`bonsai up` does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        time.sleep(10)  # until the server is idle
        yield RunningServices(project, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def environment() -> Mapping[str, str]:
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **path}


def command_cost(folder: Path, *command: str) -> Cost:
    """Wall and CPU seconds of a command and all its children. Raises `RuntimeError` with its output when it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {(process.stdout + process.stderr)[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - began, 2), "cpu_s": round(cpu_s, 2)}


def median(costs: list[Cost]) -> Cost:
    return {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}
