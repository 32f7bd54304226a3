"""Compare the entry points of the real project: five fresh clones, each run through another entry point.

Every row of the result is a promise, whether it is kept, and the details. The runs are of vision with little data.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks import record
from benchmarks.orchestration import BIN, BONSAI, DVC, RunningServices, clone, environment, running_services
from dashboard.readers import prefect_api
from flows import settings
from flows.maintenance.verify import TIMING_FILES
from flows.runs import run_record
from flows.system import os_processes
from tasks.core.storage.artifacts import CHECKSUMS
from tasks.dask_cluster import available_cores

PREFECT = (str(BIN / "python"), "-m", "prefect", "--no-prompt")
CASE = "vision"
GOOD = ("Unchanged", "Restored")
TIMEOUT_S = 1200.0
TOLERANCE = 3.0
"""Factor by which latencies may differ when a run is verified on a busy machine."""
CheckResult = tuple[bool | None, str]
"""Whether a promise is kept, None where this cannot be determined; and the details."""


class CheckList:
    """The promises, and for each whether it is kept, the details and the time. A result stays until it is checked again."""

    def __init__(self) -> None:
        path = record.RESULTS / "entry_points.json"
        earlier: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": [], "machine": {"measured_at": ""}}
        at = earlier["machine"]["measured_at"][:16]
        self.rows: dict[str, dict[str, Any]] = {row["promise"]: {**row, "at": row.get("at", at)} for row in earlier["rows"]}

    def check(self, promise: str, check: Callable[[], CheckResult]) -> None:
        """Check one promise and write the result; an error counts as not kept."""
        began = time.monotonic()
        try:
            kept, detail = check()
        except (RuntimeError, AssertionError, OSError, prefect_api.RequestRefused) as error:
            kept, detail = False, " ".join(str(error).split())[-400:]
        row = {"promise": promise, "kept": {True: "yes", False: "NO", None: "unknown"}[kept], "found": detail}
        self.rows[promise] = {**row, "s": round(time.monotonic() - began, 1), "at": run_record.now()[:16]}
        self.write()

    def write(self) -> None:
        rows = [self.rows[promise] for promise in sorted(self.rows)]
        sentence = (
            "What is promised of the entry points, checked in fresh clones of the project with 1,000 rows, 1 epoch and the "
            f"recipes dense and int8: {sum(row['kept'] == 'yes' for row in rows)} of {len(rows)} kept. Times are wall "
            "clock, all waiting included."
        )
        record.write("entry_points", sentence, rows)


def main() -> None:
    """Check all promises, or those of the parts that BONSAI_DOORS names, such as "client schedule"."""
    checks, parts = CheckList(), os.environ.get("BONSAI_DOORS", "client schedule run click more").split()
    with TemporaryDirectory(prefix="bonsai-") as folder:
        projects = {name: clone(Path(folder) / name) for name in ("repro", "client", "schedule", "run", "click")}
        checks.check(
            "2. `dvc repro` in a fresh clone", lambda: (True, last_line(command_output(projects["repro"], *DVC, "repro")))
        )
        entry_points: dict[str, Callable[[CheckList, Path], None]] = {
            "client": check_client,
            "schedule": check_schedule,
            "run": check_command,
            "click": check_dashboard,
        }
        for name in [name for name in entry_points if name in parts]:
            entry_points[name](checks, projects[name])
            promise = f"2. the same bytes by {name} as by `dvc repro`"
            checks.check(promise, lambda name=name: same_bytes(projects[name], projects["repro"]))  # type: ignore[misc]
        if "more" in parts:
            check_concurrent_runs(checks, projects["click"])
            (remote := Path(folder) / "remote").mkdir()
            check_without_server(checks, projects["click"], projects["repro"], remote)
    if left := [promise for promise, row in checks.rows.items() if row["kept"] == "NO"]:
        raise SystemExit(f"not kept: {'; '.join(left)}")


def check_client(checks: CheckList, project: Path) -> None:
    """A deployment run by Prefect's own client, and the state of the project afterwards."""
    with running_services(project) as services, listening_addresses(services) as addresses:
        checks.check("1. a deployment run by Prefect's own client in a fresh clone", lambda: client_run(services))
        checks.check("1. `dvc status` is clean", lambda: status_is_clean(project))
        checks.check("1. `dvc repro` runs nothing", lambda: repro_runs_nothing(project))
        checks.check("1. a second run is all Unchanged, in less than 10 s", lambda: unchanged_runs(services))
        loopback = {"127.0.0.1", "::1"}
        checks.check("1. nothing listens beyond this machine", lambda: (addresses <= loopback, ", ".join(sorted(addresses))))


def check_schedule(checks: CheckList, project: Path) -> None:
    """A schedule that is due a minute from now."""
    with running_services(project):

        def due() -> CheckResult:
            command_output(project, *BONSAI, "schedules", "set", f"{CASE}-nightly", "--every", "1m")
            wait_for(lambda: records(project))
            command_output(project, *BONSAI, "schedules", "pause", f"{CASE}-nightly")
            entry = wait_for(lambda: next((entry for entry in records(project) if is_done(entry)), None))
            return entry["state"] == "Completed" and entry["asked"]["how"].startswith("schedule"), entry["asked"]["how"]

        checks.check("2. a run that is due by its schedule, in a fresh clone", due)


def check_command(checks: CheckList, project: Path) -> None:
    checks.check("2. `bonsai run` in a fresh clone", lambda: (True, last_line(command_output(project, *BONSAI, "run", CASE))))


def check_dashboard(checks: CheckList, project: Path) -> None:
    """The request that the dashboard's button sends."""
    with running_services(project):
        checks.check("2. a click in the dashboard, in a fresh clone", lambda: run_completes(project, click(project, {})))


def check_concurrent_runs(checks: CheckList, project: Path) -> None:
    """Several runs at the same time."""
    with running_services(project):
        checks.check("3. two use cases, one of them with two seeds, at once", lambda: concurrent_runs(project))
        checks.check("3. each of the two folders answers `dvc repro` with up to date", lambda: run_folders_up_to_date(project))
        checks.check("3. a third run with the first one's seed computes nothing", lambda: restored_run(project))
        checks.check("3. twenty clicks at once make one run", lambda: twenty_requests(project))


def check_without_server(checks: CheckList, project: Path, other: Path, remote: Path) -> None:
    """Without a server: restore, verify, push to another clone, search."""
    for folder in (project, other):
        command_output(folder, *DVC, "remote", "add", "-d", "store", str(remote))
    older = next(each.name for each in project.glob("runs/*") if run_seed(each) == 11)
    checks.check("6. an older run is restored, and `dvc status` is clean", lambda: restore(project, older))
    checks.check("6. it is pushed, and in another clone pulled and restored", lambda: push_and_pull(project, other, older))
    checks.check("7. without a server: `dvc repro`", lambda: repro_runs_nothing(project))
    checks.check("7. without a server: `bonsai runs`", lambda: runs_list_holds(project, older))
    checks.check("7. without a server: `bonsai run` says what it does instead", lambda: run_without_server(project))
    arguments = ("verify", "newest", "--tolerance", str(TOLERANCE))
    checks.check("6. the newest run is verified", lambda: (True, last_line(command_output(project, *BONSAI, *arguments))))
    search = (*BONSAI, "tune", CASE, "--trials", "3")
    checks.check("a search of three trials", lambda: (True, last_line(command_output(project, *search))))


def client_run(services: RunningServices) -> CheckResult:
    server = settings.read_server_file(services.project)
    address = {"PREFECT_API_URL": server["api_url"], "PREFECT_API_AUTH_STRING": server["auth_string"]}
    output = command_output(services.project, *PREFECT, "deployment", "run", f"pipeline/{CASE}", "--watch", **address)
    states = {entry["state"] for entry in records(services.project)[0]["stages"].values()}
    return states == {"Completed"} and "Completed" in output, last_line(output)


def unchanged_runs(services: RunningServices) -> CheckResult:
    """Three unchanged runs. The limit of ten seconds is for an idle machine: a busy one that takes longer gives no result."""
    costs = [services.deployment_cost() for _ in range(3)]
    took, cpu_s, load = sorted(each["wall_s"] for each in costs), min(each["cpu_s"] for each in costs), os.getloadavg()[0]
    states = {entry["state"] for entry in records(services.project)[-1]["stages"].values()}
    detail = f"{', '.join(f'{each:.1f}' for each in took)} s, {cpu_s:.1f} CPU-s, at a load average of {load:.1f}"
    if states != {"Unchanged"}:
        return False, f"{', '.join(sorted(states))} after {detail}"
    return True if took[1] < 10 else None if load > available_cores() else False, detail


def status_is_clean(project: Path) -> CheckResult:
    output = command_output(project, *DVC, "status")
    return "up to date" in output, last_line(output)


def repro_runs_nothing(project: Path) -> CheckResult:
    output = command_output(project, *DVC, "repro")
    return "Running stage" not in output and "up to date" in output, last_line(output)


def click(project: Path, overrides: Mapping[str, Any]) -> str:
    return prefect_api.request_run(project, [CASE], [], overrides)


def run_completes(project: Path, flow_run_id: str) -> CheckResult:
    """Wait until the run of that flow run has ended."""

    def final() -> dict[str, Any] | None:
        entries = [entry for entry in records(project) if entry["prefect"].get("flow_run_id") == flow_run_id]
        return entries[0] if entries and is_done(entries[0]) else None

    entry = wait_for(final)
    return entry["state"] == "Completed", f"{entry['asked']['how']}: {entry['state']} in {run_record.duration_s(entry):.0f} s"


def concurrent_runs(project: Path) -> CheckResult:
    runs = (
        ("finance", "training.epochs=1"),
        (CASE, "training.seed=11"),
        (CASE, "training.seed=12"),
    )
    with ThreadPoolExecutor(len(runs)) as executor:
        futures = [
            executor.submit(command_output, project, *BONSAI, "run", case, "--set", setting, "--recipe", "int8")
            for case, setting in runs
        ]
    lines = [last_line(future.result()) for future in futures]
    return all(line.startswith("Completed") for line in lines), "; ".join(lines)


def run_folders_up_to_date(project: Path) -> CheckResult:
    results = [repro_runs_nothing(folder) for folder in sorted(project.glob("runs/*")) if run_seed(folder) in (11, 12)]
    return len(results) == 2 and all(good for good, _ in results), "; ".join(output for _, output in results)


def restored_run(project: Path) -> CheckResult:
    command_output(project, *BONSAI, "run", CASE, "--set", "training.seed=11", "--recipe", "int8")
    states = [entry["state"] for entry in records(project)[-1]["stages"].values()]
    return set(states) <= set(GOOD), ", ".join(f"{states.count(name)} {name}" for name in dict.fromkeys(states))


def twenty_requests(project: Path) -> CheckResult:
    before = len(records(project))
    with ThreadPoolExecutor(20) as executor:
        made = set(executor.map(lambda _: click(project, {"training.seed": 12}), range(20)))
    good, output = run_completes(project, next(iter(made)))
    return good and len(made) == 1 and len(records(project)) == before + 1, f"{len(made)} run; {output}"


def same_bytes(project: Path, other: Path) -> CheckResult:
    """Whether every file without measured times is equal in both clones."""
    one, two = hashes(project / "data" / CASE), hashes(other / "data" / CASE)
    differ = sorted(path for path in {*one, *two} if one.get(path) != two.get(path))
    return not differ and len(one) > 10, ", ".join(differ[:5]) or f"{len(one)} files are equal"


def is_done(entry: Mapping[str, Any]) -> bool:
    """Whether the run and its process have ended: the process publishes the results to the project's folder after the run."""
    return entry["state"] in run_record.FINAL_STATES and not os_processes.is_alive(entry["process"])


def hashes(data: Path) -> dict[str, str]:
    """The SHA-256 of every artifact file, without files of measured times, lists of checksums and the release."""
    paths = [path for path in data.rglob("*") if path.is_file() and path.relative_to(data).parts[0] != "release"]
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name not in (*TIMING_FILES, CHECKSUMS)
    }


def restore(project: Path, run: str) -> CheckResult:
    command_output(project, *BONSAI, "restore", run)
    return status_is_clean(project)


def push_and_pull(project: Path, other: Path, run: str) -> CheckResult:
    sent = last_line(command_output(project, *BONSAI, "push", run))
    fetched = last_line(command_output(other, *BONSAI, "pull", run))
    good, output = restore(other, run)
    return good, f"{sent}; {fetched}; {output}"


def run_without_server(project: Path) -> CheckResult:
    output = command_output(project, *BONSAI, "run", CASE)
    return "no Prefect server is running here; starting one for this run" in output, f"{first_line(output)}; {last_line(output)}"


def runs_list_holds(project: Path, run: str) -> CheckResult:
    output = command_output(project, *BONSAI, "runs")
    return run in output, last_line(output)


def run_seed(folder: Path) -> int:
    """The seed among a run's overrides; 0 for none."""
    overrides = json.loads((folder / "run.json").read_text())["overrides"]
    return int(overrides.get(f"use_cases.{CASE}.training.seed", 0))


@contextmanager
def listening_addresses(services: RunningServices) -> Iterator[set[str]]:
    """Collect the addresses at which a process of `bonsai up`, or of its runs, listens while the block runs."""
    addresses: set[str] = set()
    stopped = threading.Event()

    def collect() -> None:
        while not stopped.wait(0.5):
            for process in (services.process, *services.process.children(recursive=True)):
                try:
                    connections = process.net_connections(kind="all")
                except psutil.NoSuchProcess:
                    continue  # it ended meanwhile
                addresses.update(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield addresses
    finally:
        stopped.set()
        thread.join()


def records(project: Path) -> list[dict[str, Any]]:
    """The records of the project's runs, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(project.glob("runs/*/run.json"))]


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.5)
    raise RuntimeError(f"did not happen in {TIMEOUT_S:.0f} s")


def command_output(folder: Path, *command: str, **more: str) -> str:
    """The output of a command. Raises `RuntimeError` when it fails."""
    process = subprocess.run(
        command, cwd=folder, env={**environment(), **more}, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    output = (process.stdout + process.stderr).strip()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} ended with {process.returncode}: {output[-2000:]}")
    return output


def first_line(output: str) -> str:
    return output.splitlines()[0].strip() if output else ""


def last_line(output: str) -> str:
    return output.splitlines()[-1].strip() if output else ""
