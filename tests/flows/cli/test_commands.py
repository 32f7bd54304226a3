"""Commands of the command line: output, exit codes, and one line of error before anything is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.parameters import run_request
from tasks.core import params_file
from tasks.core.storage.atomic_files import write_json
from tests.support.toy_project import REPOSITORY, SMALL, build_project, use_toy_registry

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy", SMALL)
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def test_a_use_case_that_is_not_listed_runs_by_name_with_its_defaults_and_the_project_stays_as_it_is(toy: Path) -> None:
    request = run_request.build_request(toy, ["twin"])
    assert request.use_cases == ("twin",)
    assert request.values["use_cases"] == {"twin": params_file.default_stanza()}
    assert not request.unmodified, "the project's own folder has no stages to show it in"
    again = run_request.build_request(toy, ["twin"], overrides=request.overrides)
    assert again.values == request.values
    assert run_request.build_request(toy).use_cases == ("toy",)
    assert run_request.unlisted_use_cases(toy) == ["twin"]


def test_a_plan_has_the_stages_of_an_unlisted_use_case_and_status_says_how_to_add_it(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("plan", "twin")
    assert code == 0
    assert "fetch@twin" in out
    code, _, err = bonsai("status", "twin")
    assert (code, err.count("\n")) == (2, 1)
    assert "`bonsai new twin`" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "toi"], "did you mean 'toy'"),
        (["run", "toy", "--recipe", "hlf"], "did you mean 'half'"),
        (["run", "toy", "--set", "model.widht=3"], "did you mean 'width'"),
        (["run", "toy", "--set", "model.width=0"], "got 0"),
        (["run", "toy", "--set", "model.width"], "name=value"),
        (["run", "toy", "--set", "fetch.path=nowhere.csv"], "there is no"),
        (["plan", "toy", "--set", "recipes.half.0.halve.tims=3"], "did you mean 'times'"),
        (["status", "toi"], "did you mean 'toy'"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_anything_is_made(
    toy: Path, bonsai: Any, arguments: list[str], message: str
) -> None:
    code, out, err = bonsai(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (toy / "runs").exists()


def test_outside_a_project_a_command_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = bonsai("plan")
    assert code == 2
    assert "no dvc.yaml and params.yaml" in err


def test_a_command_finds_the_project_from_a_folder_inside_it(toy: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    monkeypatch.chdir(toy / "tasks" / "models")
    assert bonsai("stages")[0] == 0


def test_a_plan_gives_a_reason_for_every_stage_to_run(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("plan", "toy", "--json")
    assert code == 0
    steps = json.loads(out)
    assert [step["stage"] for step in steps][:2] == ["fetch@toy", "clean@toy"]
    assert all(step["verdict"] == "Run" and step["reasons"] for step in steps)
    _, text, _ = bonsai("plan", "toy")
    assert "10 of 10 stages to run" in text
    assert "it has not been run yet" in text


def test_stages_shows_each_verb_once_with_what_it_needs(toy: Path, bonsai: Any) -> None:
    _, out, _ = bonsai("stages")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "Add them up, epoch by epoch." in lines["train"]
    assert "augment, clean" in lines["train"]
    assert "use case and recipe" in lines["evaluate"]


def test_status_names_stages_that_are_out_of_date(toy: Path, bonsai: Any) -> None:
    _, out, _ = bonsai("status")
    assert "fetch@toy" in out
    assert "it has not been run yet" in out
    assert "no run yet" in out


def test_runs_lists_the_newest_first_and_dead_ones_as_crashed(toy: Path, bonsai: Any) -> None:
    for name, state in (("20260101-000000-toy-aaaa", "Completed"), ("20260102-000000-toy-bbbb", "Running")):
        record = {"state": state, "overrides": {"use_cases.toy.model.width": 3}, "results": {}, "process": None, "ended_at": ""}
        write_json(toy / "runs" / name / "run.json", {**record, "started_at": "2026-01-01T00:00:00+00:00", "use_cases": ["toy"]})
    _, out, _ = bonsai("runs")
    lines = [line.split() for line in out.splitlines() if "toy-" in line]
    assert [line[:2] for line in lines] == [["20260102-000000-toy-bbbb", "Crashed"], ["20260101-000000-toy-aaaa", "Completed"]]
    assert lines[0][2] == "toy.model.width=3"


def test_help_and_plans_load_neither_prefect_nor_torch(toy: Path) -> None:
    body = (
        "import sys; from flows.cli import main; sys.argv = ['bonsai', 'stages']\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'prefect', 'torch', 'networkx', 'pandas'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", body], cwd=toy, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_wrong_data_are_refused_before_dvc_and_anything_for_training_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("id;topic\n1;a\n2;b\n")
    body = (
        "import sys; from flows.cli import main\n"
        f"sys.argv = ['bonsai', 'plan', 'nlp', '--set', 'fetch.path={tmp_path / 'wrong.csv'}']\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(sorted({'prefect', 'torch', 'dvc.repo', 'sklearn', 'distributed', 'scipy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["2", "[]"]
    assert done.stderr.startswith("error: ")
    assert "has no column text or sentence" in done.stderr
