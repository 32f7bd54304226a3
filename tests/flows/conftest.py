"""Toy projects for the tests of the flows (new ones and such with recorded runs), and a Prefect server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.bonsai_process import Env, run_bonsai
from tests.support.executed_runs import COMMENTED_PARAMS, adopt_copy, execute_run
from tests.support.toy_project import build_project, use_toy_registry


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new toy project."""
    folder = build_project(tmp_path / "toy")
    use_toy_registry(folder, monkeypatch)
    return folder


@pytest.fixture(scope="session")
def executed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after a run with its own parameters and one with a changed width. Not to be changed."""
    folder = build_project(tmp_path_factory.mktemp("executed") / "toy", COMMENTED_PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        use_toy_registry(folder, patch)
        execute_run(folder)
        execute_run(folder, overrides={"model.width": 5})
    return folder


@pytest.fixture
def project(executed_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy project with its two runs; the current directory."""
    copy = Path(shutil.copytree(executed_project, tmp_path / "toy", symlinks=True))
    return adopt_copy(copy, executed_project, monkeypatch)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The environment variables of one Prefect server for all tests."""
    from flows.services.prefect_server import PrefectServer

    with patch.dict(os.environ):
        running = PrefectServer(tmp_path_factory.mktemp("prefect"))
    try:
        running.wait_until_healthy()
        yield {"PREFECT_API_URL": running.api_url, "PREFECT_API_AUTH_STRING": running.password}
    finally:
        running.stop()


@pytest.fixture(scope="session")
def executed_toy(server: Env, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after its first run."""
    toy = build_project(tmp_path_factory.mktemp("executed") / "toy")
    run_bonsai(toy, "run", server=server)
    return toy
