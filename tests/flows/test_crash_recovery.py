"""Kill what you like, when you like: the next run ends unaided with the bytes of an undisturbed one, and nothing is left behind.

BONSAI_KILL_ROUNDS says how often each victim is killed (1), BONSAI_KILL_SEED which moments are drawn (0).
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
from tests.flows import test_pipeline as conducted
from tests.flows.test_pipeline import Env, bonsai, gone, hashes, records, start, wait_for

ROUNDS = int(os.environ.get("BONSAI_KILL_ROUNDS", "1"))
SEED = int(os.environ.get("BONSAI_KILL_SEED", "0"))
ASKED = ("run", "toy", "--set", "model.pause_s=0.2")
ROOT = Path(__file__).parents[2]

server, grown, toy = conducted.server, conducted.grown, conducted.toy

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("round_", range(ROUNDS))]


def moment(victim: str, round_: int) -> float:
    """When to kill, as a share of the time that an undisturbed run takes."""
    return random.Random(f"{SEED} {victim} {round_}").random()


@pytest.fixture(scope="session")
def usual(grown: Path, server: Env, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds from a run's first breath to its last."""
    folder = fresh(grown, tmp_path_factory.mktemp("usual"))
    began = time.monotonic()
    bonsai(folder, *ASKED, server=server)
    return time.monotonic() - began


def fresh(grown: Path, folder: Path) -> Path:
    """The toy as it was before any run."""
    ignored = shutil.ignore_patterns("runs", ".bonsai", ".prefect", "tmp", "__pycache__", "cache", "data", "dvc.lock")
    return Path(shutil.copytree(grown, folder / "toy", ignore=ignored))


def family(pid: int) -> list[int]:
    """The process and all its descendants that live."""
    try:
        found = psutil.Process(pid)
        return [pid, *(child.pid for child in found.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def recovered(folder: Path, grown: Path, server: Env) -> None:
    """Nothing reads Running a minute later. Play once more: it ends well, with the same bytes, and all records are final."""
    wait_for(lambda: all(run_record.state(run) in run_record.FINAL_STATES for run in run_record.iter_runs(folder)), 60)
    bonsai(folder, *ASKED, server=server)
    after = {name: found for name, found in hashes(sorted((folder / "runs").iterdir())[-1]).items() if "@toy" in name}
    assert after == {name: found for name, found in hashes(grown).items() if name in after}
    assert len(after) == 7
    assert {record["state"] for record in records(folder)} <= {"Completed", "Crashed", "Failed", "Cancelled"}
    assert not list(folder.glob("runs/*/data/**/.*.partial"))


def test_the_flow_is_killed(grown: Path, server: Env, usual: float, tmp_path: Path, round_: int) -> None:
    folder = fresh(grown, tmp_path)
    flow = start(folder, *ASKED, server=server)
    time.sleep(usual * moment("flow", round_))
    left = family(flow.pid)
    flow.kill()
    flow.communicate()
    wait_for(lambda: all(map(gone, left)), 30)
    recovered(folder, grown, server)


def test_a_stage_is_killed(grown: Path, server: Env, usual: float, tmp_path: Path, round_: int) -> None:
    folder = fresh(grown, tmp_path)
    flow = start(folder, *ASKED, server=server)
    time.sleep(usual * moment("stage", round_))

    def at_work() -> list[int]:
        return [pid for pid in family(flow.pid)[1:] if "tasks" in psutil.Process(pid).cmdline()]

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
    recovered(folder, grown, server)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PrefectServer]:
    """A Prefect server for one test, which may die."""
    with patch.dict(os.environ):
        running = PrefectServer(tmp_path / "prefect")
        running.wait_until_healthy()
    yield running
    running.stop()


def test_the_prefect_server_is_killed_and_restarted(
    grown: Path, own_server: PrefectServer, usual: float, tmp_path: Path, round_: int
) -> None:
    folder = fresh(grown, tmp_path)
    where = {"PREFECT_API_URL": own_server.api_url, "PREFECT_API_AUTH_STRING": own_server.password}
    flow = start(folder, *ASKED, server=where)
    time.sleep(usual * moment("server", round_))
    own_server.process.kill()
    own_server.process.wait()
    time.sleep(5)
    with patch.dict(os.environ):
        port = urlsplit(own_server.api_url).port or 0
        again = PrefectServer(tmp_path / "prefect", port=port, password=own_server.password)
    try:
        again.wait_until_healthy()
        flow.communicate(timeout=280)
        recovered(folder, grown, where)
    finally:
        again.stop()


def test_the_prefect_server_is_killed_for_good_and_the_run_completes_without_it(
    grown: Path, own_server: PrefectServer, tmp_path: Path, round_: int
) -> None:
    folder = fresh(grown, tmp_path)
    where = {"PREFECT_API_URL": own_server.api_url, "PREFECT_API_AUTH_STRING": own_server.password}
    flow = start(folder, *ASKED, server={**where, "BONSAI_SERVER_PATIENCE_S": "3"})
    names = [name for name in hashes(grown) if name.endswith("@toy")]
    last = names[int(len(names) * moment("server for good", round_))]

    def begun() -> bool:
        found = [json.loads(path.read_text()) for path in folder.glob("runs/*/run.json")]
        return any(record["stages"].get(last, {}).get("state", "Pending") != "Pending" for record in found)

    wait_for(lambda: begun() or flow.poll() is not None, 240)
    own_server.process.kill()
    own_server.process.wait()
    said, _ = flow.communicate(timeout=280)
    assert flow.returncode == 0, said
    assert "Prefect's server is gone" in said
    (record,) = records(folder)
    assert record["state"] == "Completed"
    assert {entry["state"] for entry in record["stages"].values()} == {"Completed"}


@pytest.fixture(scope="session")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of digits in many partitions, and in `clean.json` what an undisturbed clean makes of them."""
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
    journal = fetched / "journal" / "clean@vision.jsonl"
    journal.unlink(missing_ok=True)
    cleaning = subprocess.Popen([sys.executable, "-m", "tasks", "clean", "vision"], cwd=fetched, stderr=subprocess.DEVNULL)

    def brought() -> int:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return max((json.loads(line)["done"] for line in lines if '"progress"' in line and line.endswith("}")), default=0)

    wait_for(lambda: brought() > 40 * moment(f"workers {many}", round_) or cleaning.poll() is not None)
    left = family(cleaning.pid)
    workers = [pid for pid in left[1:] if not gone(pid) and psutil.Process(pid).num_threads() > 3]
    for pid in workers[:many]:
        os.kill(pid, signal.SIGKILL)
    assert cleaning.wait(280) == 0
    assert (fetched / "data" / "vision" / "clean" / "checksums.json").read_text() == (fetched / "clean.json").read_text()
    wait_for(lambda: all(map(gone, left)), 30)
