"""Toy projects for the tests of the flows: a new one, and a copy of one with two recorded runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
