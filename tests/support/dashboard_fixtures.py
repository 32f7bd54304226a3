"""Fixtures of the dashboard's page tests: recorded projects, no Prefect server, and no unexpected errors."""

import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from dashboard.readers import prefect_api
from dashboard.ui import page_context
from tests.support import dashboard_scenarios, recorded_runs


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project in each state, by its name. Tests share them: not to be changed."""
    roots = {
        state: recorded_runs.project(tmp_path_factory.mktemp("projects") / state)
        for state in ("nothing", "running", "failed", "finished")
    }
    recorded_runs.run(roots["running"], "Running")
    recorded_runs.run(roots["failed"], "Failed")
    recorded_runs.finished(roots["finished"])
    recorded_runs.finished(roots["finished"], number=1, overrides={"use_cases.vision.training.epochs": 3}, whole=False)
    return roots


@pytest.fixture(scope="session")
def all_use_cases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a finished run of every use case. Tests share it: not to be changed."""
    root = recorded_runs.project(tmp_path_factory.mktemp("projects") / "all")
    for number, name in enumerate(dashboard_scenarios.names()):
        recorded_runs.finished(root, number=number, use_case=name)
    return root


@pytest.fixture(scope="session", params=["credit_classes", "credit_number"])
def credit_scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A scene of a table whose label is one of many classes or a number, and a project with a finished run of it."""
    root = recorded_runs.project(tmp_path_factory.mktemp("projects") / request.param)
    recorded_runs.finished(root, use_case="credit", scene=request.param)
    return request.param, root


@pytest.fixture
def no_server() -> Iterator[Any]:
    """No Prefect server answers."""
    with patch.object(prefect_api, "server", lambda root: None):
        yield


@pytest.fixture
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves its script as `__main__`, which every process that a later test spawns would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def no_unexpected_error(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """A page that logs an unexpected exception fails the test."""
    yield
    assert not [record.exc_info for record in caplog.get_records("call") if record.name == page_context.LOG.name]
