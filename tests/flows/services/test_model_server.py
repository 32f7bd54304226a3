"""The model server of `bonsai up`: waits for a first model, is restarted for a new use case, and answers only with its token."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import promotion
from flows.services.model_server import MAX_STARTS_PER_MINUTE, ModelServer
from flows.services.supervisor import free_port
from tests.flows.test_promotion import run
from tests.support import recorded_runs
from tests.support.bonsai_process import wait_for
from tests.support.toy_project import REPOSITORY


def sleeping(commands: list[list[str]], seconds: str = "60") -> Any:
    def popen(command: list[str], log: str) -> subprocess.Popen[bytes]:
        commands.append(command)
        return subprocess.Popen(["sleep", seconds])

    return popen


def tend(server: ModelServer) -> str:
    """Look again at once."""
    server._checked = -1e9
    return server.tend()


def released(root: Path, name: str) -> None:
    path = root / "data" / name / "release" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")


def test_it_starts_with_the_first_model_and_again_with_another_use_case_or_when_it_ended(tmp_path: Path) -> None:
    commands: list[list[str]] = []
    server = ModelServer(tmp_path, 9, "secret", sleeping(commands))
    assert (tend(server), server.process) == ("", None)
    released(tmp_path, "nlp")
    assert "nlp; token in .prefect/serve-token" in tend(server)
    assert commands[0][-4:] == ["serve", "nlp", "--port", "9"]
    assert tend(server) == ""
    first = server.process
    assert first is not None
    released(tmp_path, "credit")
    assert "credit, nlp" in tend(server)
    assert first.poll() is not None
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    assert tend(server).startswith("the model server ended; restarting it")
    server.stop()
    assert len(commands) == 3
    (tmp_path / "registry" / "vision").mkdir(parents=True)
    (tmp_path / "registry" / "vision" / "history.jsonl").write_text("nonsense\n")
    assert "no event of the registry" in tend(server)
    assert tend(server) == "", "told once"


def test_one_that_ends_again_and_again_is_left_off(tmp_path: Path) -> None:
    commands: list[list[str]] = []
    server = ModelServer(tmp_path, 9, "secret", sleeping(commands, "0"))
    released(tmp_path, "nlp")
    lines = []
    for _ in range(MAX_STARTS_PER_MINUTE + 2):
        lines.append(tend(server))
        if server.process:
            server.process.wait()
    assert len(commands) == MAX_STARTS_PER_MINUTE
    assert lines[-2:] == ["the model server ends again after each restart and is left off; see .prefect/serve.log", ""]


@pytest.mark.slow
def test_a_promoted_model_is_served_to_those_with_the_token_and_ends_gracefully(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)

    def popen(command: list[str], log: str) -> subprocess.Popen[bytes]:
        variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BONSAI_SERVE_TOKEN": server.token}
        return subprocess.Popen(command, cwd=root, env=variables)

    server = ModelServer(root, free_port(0), "secret", popen)
    assert tend(server) == ""
    promotion.promote(root, "vision", run(root, 0))
    assert "vision" in tend(server)
    try:
        wait_for(server.answers, 120)
        body = {"inputs": ["AAAA"]}
        assert httpx.post(f"{server.url}/vision/predict", json=body).status_code == 401
        answer = httpx.post(f"{server.url}/vision/predict", json=body, headers={"Authorization": "Bearer secret"})
        assert answer.status_code == 200
        assert answer.json()["answers"][0]["error"].startswith("unreadable")
    finally:
        server.stop()
    assert server.process is not None
    assert server.process.returncode in (0, -signal.SIGTERM), "uvicorn ends by the signal, after the answers under way"
    log = list((root / "monitoring/vision/requests").glob("*.parquet"))
    assert len(log) == 1, "what waited was written at the end"
