"""Tuning finds better parameters on the validation split alone, prunes trials, and resumes after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from flows import tuning
from flows.tuning import SearchSpace
from tasks.core.errors import UserError
from tests.support.toy_project import REPOSITORY, SMALL, build_project, use_toy_registry


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy", SMALL.replace("recipes:", "recipes:  # by name"))
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def start_bonsai(toy: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(toy), str(REPOSITORY)]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    return subprocess.Popen(command, cwd=toy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_to_end(toy: Path, *arguments: str) -> str:
    process = start_bonsai(toy, *arguments)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("training.learning_rate=0.001..0.1", SearchSpace("training.learning_rate", 0.001, 0.1, log=True)),
        ("training.epochs=4..12", SearchSpace("training.epochs", 4, 12)),
        ("training.optimizer=adamw, muon", SearchSpace("training.optimizer", choices=("adamw", "muon"))),
    ],
)
def test_a_search_space_is_parsed(text: str, space: SearchSpace) -> None:
    assert tuning.parse_space(text) == space


@pytest.mark.parametrize("text", ["training.epochs", "training.epochs=3", "training.epochs=9..3", "training.epochs=a..b"])
def test_an_invalid_search_space_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is no space; write training\.learning_rate=0\.001\.\.0\.1"):
        tuning.parse_space(text)


def test_a_space_is_checked_at_both_ends_before_anything_is_tried(toy: Path) -> None:
    with tuning.open_study(toy, "toy") as study, pytest.raises(UserError, match="got 0"):
        tuning.search(toy, "toy", [SearchSpace("model.width", 0, 4)], 2, study=study)
    with tuning.open_study(toy, "toy") as study, pytest.raises(UserError, match="did you mean 'width'"):
        tuning.search(toy, "toy", [SearchSpace("model.widht", 1, 4)], 2, study=study)


def test_learning_rate_and_weight_decay_are_tuned_by_default(toy: Path) -> None:
    assert {space.name for space in tuning.default_spaces(toy, "toy")} <= {"training.learning_rate", "training.weight_decay"}


def test_the_primary_metric_of_the_best_epoch_decides(tmp_path: Path) -> None:
    point = {"epoch": 1, "loss": 3.0, "validation_loss": 2.0, "validation_qlike": 0.5, "validation_mse": 9.0}
    (tmp_path / "curves.json").write_text(json.dumps([point, {**point, "validation_qlike": 0.4}]))
    (tmp_path / "report.json").write_text(json.dumps({"best_epoch": 2}))
    assert tuning.best_epoch_metric(tmp_path) == 0.4


def test_the_report_of_a_study_holds_its_trials_and_what_its_parameters_explain(tmp_path: Path) -> None:
    import optuna

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(tuning.MIN_TRIALS - 1):
        trial = study.ask()
        study.tell(
            trial, trial.suggest_float("training.learning_rate", 0.0, 1.0) + 0 * trial.suggest_int("training.epochs", 1, 9)
        )
    assert tuning.importances(study) == {}, "too few trials"
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    for _ in range(20):
        trial = study.ask()
        study.tell(
            trial, trial.suggest_float("training.learning_rate", 0.0, 1.0) + 0 * trial.suggest_int("training.epochs", 1, 9)
        )
    tuning.save_report(tmp_path, study)
    report = json.loads((tmp_path / "study.json").read_text())
    assert report["direction"] == "maximize"
    assert [each["state"] for each in report["trials"]].count("complete") == 23
    assert report["trials"][0]["value"] == report["trials"][0]["params"]["training.learning_rate"]
    assert next(iter(report["importances"])) == "training.learning_rate"
    assert report["importances"]["training.learning_rate"] > 0.8
    assert sum(report["importances"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_search_finds_the_better_value_resumes_and_reads_no_test_row(toy: Path) -> None:
    over = ("--over", "training.learning_rate=0.0001..1.0")
    output = run_to_end(toy, "tune", "toy", *over, "--trials", "3")
    assert output.count("trial ") == 3
    output = run_to_end(toy, "tune", "toy", *over, "--trials", "5", "--write")
    assert output.count("trial ") == 2, "it goes on where it was"
    figures = [json.loads(path.read_text()) for path in sorted((toy / ".bonsai" / "tuning" / "toy").glob("*/run.json"))]
    assert len(figures) == 5
    for record in figures:
        assert {name.partition("@")[0] for name in record["stages"]} == {"fetch", "clean", "augment", "train"}
    written = yaml.safe_load((toy / "params.yaml").read_text())["use_cases"]["toy"]["training"]["learning_rate"]
    assert f"training.learning_rate={written}" in output
    assert "# by name" in (toy / "params.yaml").read_text()
    assert not (toy / "runs").exists()


@pytest.mark.slow
def test_a_trial_that_falls_behind_is_pruned_and_a_killed_search_resumes(toy: Path) -> None:
    values = yaml.safe_load((toy / "params.yaml").read_text())
    values["use_cases"]["toy"] |= {"model": {"pause_s": 0.4}, "training": {"epochs": 6}}
    (toy / "params.yaml").write_text(yaml.safe_dump(values))
    search = ("tune", "toy", "--over", "training.learning_rate=0.0001..1.0", "--trials", "8")
    killed = start_bonsai(toy, *search)
    deadline = time.monotonic() + 100
    while len(list(toy.glob(".bonsai/tuning/toy/*/journal/train@toy.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    output = run_to_end(toy, *search)
    assert "ended early with" in output
    assert "best on the validation split" in output
