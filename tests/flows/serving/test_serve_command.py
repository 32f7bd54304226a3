"""`bonsai serve` as a process: a clear word before it listens, and no request lost while models are replaced."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import promotion
from flows.request_log import reader
from tests.flows.serving.test_app import pictures
from tests.flows.test_promotion import run
from tests.support import recorded_runs
from tests.support.bonsai_process import wait_for
from tests.support.toy_project import REPOSITORY

REQUESTS = int(os.environ.get("BONSAI_REQUESTS", "2000"))
CLIENTS = 32


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    return root


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of a server of the project, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "flows.cli.main", "serve", "--port", port, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{address}/ready").status_code == 200
        except httpx.TransportError:
            assert process.poll() is None, process.stderr and process.stderr.read()
            return False

    try:
        wait_for(is_ready, 120)
        yield address, process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "no use case has a released model yet"),
        (("visio",), "visio has neither a champion nor a release"),
        (("vision", "--host", "0.0.0.0"), "set BONSAI_SERVE_TOKEN"),
    ],
)
def test_a_mistake_is_told_before_anything_listens(project: Path, bonsai: Any, arguments: tuple[str, ...], expected: str) -> None:
    code, out, err = bonsai("serve", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


@pytest.mark.slow
def test_the_client_of_the_page_on_serving_asks_and_tells_what_was_right(project: Path) -> None:
    name = run(project, 0)
    promotion.promote(project, "vision", name)
    shutil.copytree(project / "runs" / name / "data" / "vision" / "clean", project / "data" / "vision" / "clean")
    client = REPOSITORY / "docs" / "examples" / "ask_digits.py"
    with serving(project, "vision") as (address, process):
        command = [sys.executable, str(client), "--address", address, "--count", "12"]
        for more in ([], ["--inverted"]):
            done = subprocess.run([*command, *more], cwd=project, capture_output=True, text=True, timeout=100, check=True)
            assert re.fullmatch(r"\d+ of 12 right, answered by vision@1\n", done.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    assert len(reader.read_labelled(project, "vision", columns=["request_id"])) == 24


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_request_is_lost_while_champions_are_promoted_and_rolled_back_ten_times(project: Path) -> None:
    first, second = run(project, 0), run(project, 1)
    promotion.promote(project, "vision", first)
    body = {"inputs": [base64.b64encode(pictures(project)[0]).decode()]}
    models: set[str] = set()
    ids: list[str] = []
    done = threading.Event()

    def ask(count: int) -> list[int]:
        statuses: list[int] = []
        with httpx.Client(timeout=60) as client:
            while len(statuses) < count or not done.is_set():
                answer = client.post(f"{address}/vision/predict", json=body)
                statuses.append(answer.status_code)
                content = answer.json()
                ids.append(content["request_id"])
                models.add(content["model"])
                assert "predicted" in content["answers"][0]
        return statuses

    with serving(project, "vision") as (address, process), ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(ask, REQUESTS // CLIENTS + 1) for _ in range(CLIENTS)]
        for turn in range(10):
            if turn % 2:
                promotion.rollback(project, "vision")
            else:
                promotion.promote(project, "vision", second, force=True)
            time.sleep(1.5)
        done.set()
        statuses = [status for future in futures for status in future.result()]
        assert len(statuses) >= REQUESTS
        assert set(statuses) == {200}
        assert models == {"vision@1", "vision@2"}
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    recorded = reader.read_requests(project, "vision", columns=["request_id", "model", "error"])
    assert set(recorded["request_id"]) <= set(ids)
    assert set(recorded["error"]) == {""}
    assert recorded["model"].isin(models).all()
