"""Kill a process at a random moment: the next run completes with the bytes of an undisturbed one, and no process is left.

BONSAI_KILL_ROUNDS is the number of rounds per victim (1), BONSAI_KILL_SEED the seed of the moments (0).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from flows.runs import run_record
from flows.services.prefect_server import PrefectServer
from tests.support.bonsai_process import Env, has_ended, output_hashes, read_records, run_bonsai, start_bonsai, wait_for

ROUNDS = int(os.environ.get("BONSAI_KILL_ROUNDS", "1"))
SEED = int(os.environ.get("BONSAI_KILL_SEED", "0"))
RUN_ARGUMENTS = ("run", "toy", "--set", "model.pause_s=0.2")
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("round_", range(ROUNDS))]


def kill_moment(victim: str, round_: int) -> float:
    """When to kill, as a share of an undisturbed run's duration."""
    return random.Random(f"{SEED} {victim} {round_}").random()


@pytest.fixture(scope="session")
def undisturbed_s(executed_toy: Path, server: Env, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The duration of an undisturbed run in seconds."""
    folder = new_project(executed_toy, tmp_path_factory.mktemp("usual"))
    began = time.monotonic()
    run_bonsai(folder, *RUN_ARGUMENTS, server=server)
    return time.monotonic() - began


def new_project(executed_toy: Path, folder: Path) -> Path:
    """The toy as it was before any run."""
    ignored = shutil.ignore_patterns("runs", ".bonsai", ".prefect", "tmp", "__pycache__", "cache", "data", "dvc.lock")
    return Path(shutil.copytree(executed_toy, folder / "toy", ignore=ignored))


def process_tree(pid: int) -> list[int]:
    """The process and all its live descendants."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def check_recovery(folder: Path, executed_toy: Path, server: Env) -> None:
    """Within a minute no run is Running; the next run completes with the same bytes, and all records are final."""
    wait_for(lambda: all(run_record.state(run) in run_record.FINAL_STATES for run in run_record.iter_runs(folder)), 60)
    run_bonsai(folder, *RUN_ARGUMENTS, server=server)
    after = {name: md5s for name, md5s in output_hashes(sorted((folder / "runs").iterdir())[-1]).items() if "@toy" in name}
    assert after == {name: md5s for name, md5s in output_hashes(executed_toy).items() if name in after}
    assert len(after) == 10
    assert {record["state"] for record in read_records(folder)} <= {"Completed", "Crashed", "Failed", "Cancelled"}
    assert not list(folder.glob("runs/*/data/**/.*.partial"))


def test_the_flow_is_killed(executed_toy: Path, server: Env, undisturbed_s: float, tmp_path: Path, round_: int) -> None:
    folder = new_project(executed_toy, tmp_path)
    flow = start_bonsai(folder, *RUN_ARGUMENTS, server=server)
    time.sleep(undisturbed_s * kill_moment("flow", round_))
    left = process_tree(flow.pid)
    flow.kill()
    flow.communicate()
    wait_for(lambda: all(map(has_ended, left)), 30)
    check_recovery(folder, executed_toy, server)


def test_a_stage_is_killed(executed_toy: Path, server: Env, undisturbed_s: float, tmp_path: Path, round_: int) -> None:
    folder = new_project(executed_toy, tmp_path)
    flow = start_bonsai(folder, *RUN_ARGUMENTS, server=server)
    time.sleep(undisturbed_s * kill_moment("stage", round_))

    def at_work() -> list[int]:
        return [pid for pid in process_tree(flow.pid)[1:] if "tasks" in psutil.Process(pid).cmdline()]

    while flow.poll() is None:
        try:
            for pid in at_work()[:1]:
                os.kill(pid, signal.SIGKILL)
                break
            else:
                continue
            break
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue  # it ended by itself meanwhile
    flow.communicate(timeout=250)
    check_recovery(folder, executed_toy, server)


SEED_ARGUMENTS = (*RUN_ARGUMENTS, "--recipe", "half", "--seeds", "2")


@pytest.fixture(scope="session")
def hashes_of_two_seeds(executed_toy: Path, server: Env, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The output hashes of an undisturbed run with two seeds."""
    folder = new_project(executed_toy, tmp_path_factory.mktemp("seeds"))
    run_bonsai(folder, *SEED_ARGUMENTS, server=server)
    return seed_hashes(folder)


def seed_hashes(folder: Path) -> dict[str, list[str]]:
    """The output hashes of the toy's stages in the newest run."""
    return {name: md5s for name, md5s in output_hashes(sorted((folder / "runs").iterdir())[-1]).items() if "@toy" in name}


@pytest.mark.parametrize("verb", ["train_seed", "compress_seed", "evaluate_seed"])
def test_a_stage_of_an_additional_seed_is_killed_with_its_retry(
    executed_toy: Path, server: Env, hashes_of_two_seeds: dict[str, list[str]], tmp_path: Path, verb: str, round_: int
) -> None:
    folder = new_project(executed_toy, tmp_path)
    flow = start_bonsai(folder, *SEED_ARGUMENTS, server=server)
    killed: set[str] = set()
    victim: list[str] = []
    while flow.poll() is None:
        time.sleep(0.05)
        for process in psutil.Process(flow.pid).children(recursive=True):
            try:
                command = process.cmdline()
                if verb not in command or (victim and command[command.index(verb) :] != victim):
                    continue
                victim = command[command.index(verb) :]
                process.kill()
                killed.add(str(process.pid))
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    output, _ = flow.communicate(timeout=250)
    assert len(killed) >= 2, output
    assert flow.returncode != 0, output
    assert [record["state"] for record in read_records(folder)] == ["Failed"]
    run_bonsai(folder, *SEED_ARGUMENTS, server=server)
    assert seed_hashes(folder) == hashes_of_two_seeds
    assert len(hashes_of_two_seeds) == 8 + 5
    assert not list(folder.glob("runs/*/data/**/.*.partial"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A Prefect server for one test, which may kill it."""
    with patch.dict(os.environ):
        running = PrefectServer(tmp_path / "prefect")
        running.wait_until_healthy()
    yield running
    running.stop()


def test_the_prefect_server_is_killed_and_restarted(
    executed_toy: Path, own_server: PrefectServer, undisturbed_s: float, tmp_path: Path, round_: int
) -> None:
    folder = new_project(executed_toy, tmp_path)
    where = {"PREFECT_API_URL": own_server.api_url, "PREFECT_API_AUTH_STRING": own_server.password}
    flow = start_bonsai(folder, *RUN_ARGUMENTS, server=where)
    time.sleep(undisturbed_s * kill_moment("server", round_))
    own_server.process.kill()
    own_server.process.wait()
    time.sleep(5)
    with patch.dict(os.environ):
        port = urlsplit(own_server.api_url).port or 0
        again = PrefectServer(tmp_path / "prefect", port=port, password=own_server.password)
    try:
        again.wait_until_healthy()
        flow.communicate(timeout=280)
        check_recovery(folder, executed_toy, where)
    finally:
        again.stop()


def test_the_prefect_server_is_killed_for_good_and_the_run_completes_without_it(
    executed_toy: Path, own_server: PrefectServer, tmp_path: Path, round_: int
) -> None:
    folder = new_project(executed_toy, tmp_path)
    where = {"PREFECT_API_URL": own_server.api_url, "PREFECT_API_AUTH_STRING": own_server.password}
    flow = start_bonsai(folder, *RUN_ARGUMENTS, server={**where, "BONSAI_SERVER_PATIENCE_S": "3"})
    names = [name for name in output_hashes(executed_toy) if name.endswith("@toy")]
    last = names[int(len(names) * kill_moment("server for good", round_))]

    def last_stage_has_begun() -> bool:
        run_records = [json.loads(path.read_text()) for path in folder.glob("runs/*/run.json")]
        return any(record["stages"].get(last, {}).get("state", "Pending") != "Pending" for record in run_records)

    wait_for(lambda: last_stage_has_begun() or flow.poll() is not None, 240)
    own_server.process.kill()
    own_server.process.wait()
    output, _ = flow.communicate(timeout=280)
    assert flow.returncode == 0, output
    assert "Prefect's server is gone" in output
    (record,) = read_records(folder)
    assert record["state"] == "Completed"
    assert {entry["state"] for entry in record["stages"].values()} == {"Completed"}


@pytest.fixture(scope="session")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of digits in many partitions, with the checksums of an undisturbed `clean` in `clean.json`."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(ROOT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    stanza = {"fetch": {"source": "packaged", "partition_rows": 100}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"use_cases": {"vision": stanza}, "recipes": {"dense": []}}))
    for stage in ("fetch", "clean"):
        subprocess.run([sys.executable, "-m", "tasks", stage, "vision"], cwd=folder, check=True, capture_output=True, timeout=250)
    shutil.copy(folder / "data" / "vision" / "clean" / "checksums.json", folder / "clean.json")
    return folder


@pytest.mark.parametrize("many", [1, 99])
def test_dask_workers_are_killed(fetched: Path, many: int, round_: int) -> None:
    shutil.rmtree(fetched / "data" / "vision" / "clean", ignore_errors=True)
    event_log = fetched / "journal" / "clean@vision.jsonl"
    event_log.unlink(missing_ok=True)
    cleaning = subprocess.Popen([sys.executable, "-m", "tasks", "clean", "vision"], cwd=fetched, stderr=subprocess.DEVNULL)

    def done_units() -> int:
        lines = event_log.read_text().splitlines() if event_log.exists() else []
        return max((json.loads(line)["done"] for line in lines if '"progress"' in line and line.endswith("}")), default=0)

    wait_for(lambda: done_units() > 40 * kill_moment(f"workers {many}", round_) or cleaning.poll() is not None)
    left = process_tree(cleaning.pid)
    workers = [pid for pid in left[1:] if not has_ended(pid) and psutil.Process(pid).num_threads() > 3]
    for pid in workers[:many]:
        os.kill(pid, signal.SIGKILL)
    assert cleaning.wait(280) == 0
    assert (fetched / "data" / "vision" / "clean" / "checksums.json").read_text() == (fetched / "clean.json").read_text()
    wait_for(lambda: all(map(has_ended, left)), 30)
