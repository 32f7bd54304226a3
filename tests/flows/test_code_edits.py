"""An edit of the code puts out of date what it can change, and nothing else: of the real pipeline, for each pair of use cases."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dvc_state.stage_state import StageStore
from tasks.core import registry
from tests.flows.dvc_state.test_stage_graph import write_outputs_by_hand
from tests.support.toy_project import REPOSITORY, build_project
from tests.tasks.use_cases.test_spoken_digits import install

USE_CASES = [*registry.registered_names("use_cases"), "spoken_digits"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LATER = ("compress", "evaluate", "release")
Stale = Callable[..., set[tuple[str, str]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real pipeline over the real code, all of it up to date, with outputs written by hand."""
    folder = build_project(tmp_path_factory.mktemp("edits") / "project")
    shutil.rmtree(folder / "tasks")
    shutil.copytree(REPOSITORY / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    install(folder)
    shutil.copy2(REPOSITORY / "dvc.yaml", folder)
    blank: dict[str, Any] = {section: {} for section in ("fetch", "clean", "augment", "model", "contract")}
    stanzas = {name: {**blank, "training": {"seed": 7}} for name in USE_CASES}
    (folder / "params.yaml").write_text(yaml.safe_dump({"use_cases": stanzas, "recipes": {"dense": [], "int8": []}, "seeds": []}))
    write_outputs_by_hand(folder)
    return folder


@pytest.fixture
def stale(project: Path) -> Stale:
    """The stages, and their use cases, that an edit of these files puts out of date by itself; then it is taken back."""

    def edited(*paths: str) -> set[tuple[str, str]]:
        before = {path: (project / path).read_bytes() for path in paths}
        try:
            for path, content in before.items():
                (project / path).write_bytes(content + b"\n# edited\n")
            with chdir(project), StageStore(project) as store:
                names = {name for name in store.stages if store.stale_reasons(name)}
                return {(store.stages[name].verb, store.stages[name].use_case) for name in names}
        finally:
            for path, content in before.items():
                (project / path).write_bytes(content)

    return edited


def test_without_an_edit_all_is_up_to_date(stale: Stale) -> None:
    assert stale() == set()


@pytest.mark.parametrize("use_case", USE_CASES)
def test_an_edit_of_a_use_case_is_felt_by_that_use_case_alone(project: Path, stale: Stale, use_case: str) -> None:
    files = [str(path.relative_to(project)) for path in (project / "tasks" / "use_cases" / use_case).rglob("*.py")]
    assert {name for _, name in stale(*files)} == {use_case}
    assert ("fetch", use_case) in stale(*files)


@pytest.mark.parametrize("use_case", registry.registered_names("use_cases"))
def test_an_edit_of_a_network_reopens_train_and_what_follows_for_those_who_take_it(stale: Stale, use_case: str) -> None:
    users = {use_case, "spoken_digits"} if use_case == "vision" else {use_case}
    network = f"tasks/models/{use_case}/{registry.registered_names(f'models/{use_case}')[0]}.py"
    assert stale(network) == {(stage, name) for stage in ("train", "compress", "evaluate", "latency") for name in users}


def test_an_edit_of_a_compression_step_reopens_no_training(stale: Stale) -> None:
    assert {stage for stage, _ in stale("tasks/compression/steps/prune.py")} == {"compress"}


def test_an_edit_of_a_stage_reopens_that_stage(stale: Stale) -> None:
    for stage in ("fetch", "clean", "augment", "train", "baselines", *LATER):
        assert stale(f"tasks/stages/{stage}.py") == {(stage, name) for name in USE_CASES}
