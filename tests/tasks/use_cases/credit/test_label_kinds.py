"""A table's label may be one of two, one of many, or a number: each is cleaned, learnt, decoded and measured as what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact
from tasks.problems.binary_classification import BinaryClassification
from tasks.problems.regression import Regression
from tasks.training import trainer
from tasks.use_cases.credit.table_classification import TableClassification
from tests.support import credit_table
from tests.tasks.use_cases.credit.test_credit import cleaned, credit

ROOT = Path(__file__).parents[4]
LABELS = {"default": "class", "house": "class", "limit": "number"}


def table() -> pd.DataFrame:
    """The lenders' table, with a kind of house (three classes) and a credit limit (a number) that its columns explain."""
    rows = credit_table.applicants(600)
    numbers = np.random.default_rng(3)
    debt, late = rows["debt"].astype(float), rows["late"].astype(int)
    house = np.select([late + numbers.normal(0, 0.5, len(rows)) < 1, debt > 9000], ["villa", "flat"], "cabin")
    limit = 2000 + 0.5 * debt - 300 * late + numbers.normal(0, 200, len(rows))
    return rows.assign(house=house, limit=limit.round(2))


def rows_of(folder: Path, label: str, **sections: Any) -> Any:
    others = [name for name in LABELS if name != label]
    path = credit_table.write(folder / "table.csv", table().drop(columns=others))
    case = credit(path, **{**sections, "fetch": {"label": label, **sections.get("fetch", {})}})
    rows, report = cleaned(case, folder)
    return case, rows, report


@pytest.mark.parametrize(
    ("label", "problem", "state_has"),
    [
        ("default", BinaryClassification, {"classes": ["no", "yes"]}),
        ("house", TableClassification, {"classes": ["cabin", "flat", "villa"]}),
        ("limit", Regression, {"problem": "regression"}),
    ],
)
@pytest.mark.parametrize("architecture", ["tabular_mlp", "ft_transformer"])
def test_each_kind_of_label_is_fitted_and_beats_the_trivial_baseline(
    tmp_path: Path, label: Any, problem: Any, state_has: Any, architecture: Any
) -> None:
    case, rows, report = rows_of(tmp_path, label, model={"architecture": architecture})
    assert set(rows["label_kind"]) == {LABELS[label]}
    assert bool(report["classes"]) == (LABELS[label] == "class")
    train, test = (rows[rows["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    state = case.fit_preprocessing(train)
    assert state_has.items() <= state.items()
    fitted_problem = case.problem_of(state)
    assert type(fitted_problem) is problem
    inputs, targets = case.encode(train, state)
    training = replace(case.training, epochs=25, batch_size=32, precision="fp32")
    torch.manual_seed(0)
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda net, x, y: fitted_problem.loss(net(x), y, training),
        training=training,
    )
    predictions = fitted_problem.decode(test, trainer.predict(fitted.network, case.encode(test, state)[0]), state)
    metrics = fitted_problem.metrics(predictions)
    first = next(iter(metrics))
    baselines = {name: fitted_problem.metrics(answers)[first] for name, answers in case.baselines(train, test).items()}
    assert np.mean(fitted_problem.per_row_metric(predictions)) == pytest.approx(metrics[first], abs=1e-9)
    assert metrics[first] > next(iter(baselines.values())) + 0.1, baselines
    assert metrics[first] > {"auc": 0.7, "accuracy": 0.7, "r2": 0.6}[first]
    assert json.dumps(fitted_problem.report(predictions), allow_nan=False)


def test_a_student_of_many_classes_is_distilled_from_a_teacher_that_answers_once(tmp_path: Path) -> None:
    case, rows, _ = rows_of(tmp_path, "house")
    state = case.fit_preprocessing(rows)
    inputs, targets = (torch.from_numpy(values[:16]) for values in case.encode(rows, state))
    teacher, student = case.build_model(state).eval(), case.build_student(state, 0.5).train()
    outputs = student(inputs)
    assert outputs.shape == (16, 1, 3)
    problem = case.problem_of(state)
    problem.distillation_loss(outputs, teacher(inputs), targets, 2.0).backward()
    same = teacher.train()(inputs).detach()
    assert float(problem.distillation_loss(same.mean(1), same.mean(1), targets, 2.0)) == pytest.approx(0, abs=1e-6)


def test_numbers_are_predicted_in_their_own_units(tmp_path: Path) -> None:
    case, rows, _ = rows_of(tmp_path, "limit")
    state = case.fit_preprocessing(rows)
    _, targets = case.encode(rows, state)
    assert targets.mean() == pytest.approx(0, abs=1e-5)
    perfect = case.problem_of(state).decode(rows, targets[:, None], state)
    np.testing.assert_allclose(perfect["value"], rows["label"].astype(float), rtol=1e-4)
    assert case.problem_of(state).metrics(perfect)["r2"] == pytest.approx(1, abs=1e-6)


def test_whole_numbers_of_few_values_are_classes_unless_set_otherwise(tmp_path: Path) -> None:
    path = credit_table.write(tmp_path / "table.csv", table().drop(columns=["default", "house", "limit"]))
    kinds = {
        target: next(credit(path, fetch={"label": "late", "target": target}).load())["label_kind"].iloc[0]
        for target in ("auto", "classes", "number")
    }
    assert kinds == {"auto": "class", "classes": "class", "number": "number"}
    assert next(credit(path, fetch={"label": "age"}).load())["label_kind"].iloc[0] == "number"


def test_a_label_that_is_no_number_among_numbers_is_quarantined(tmp_path: Path) -> None:
    rows = table().drop(columns=["default", "house"]).astype({"limit": object})
    rows.loc[5, "limit"] = "dear"
    rows.loc[6, "limit"] = ""
    case = credit(credit_table.write(tmp_path / "table.csv", rows), fetch={"label": "limit"})
    cleaned_rows = case.clean_partition(pd.concat(case.load(), ignore_index=True))
    assert cleaned_rows["fault"].iloc[5].startswith("unreadable-label")
    assert cleaned_rows["fault"].iloc[6].startswith("empty-label")
    assert (cleaned_rows["fault"] == "").sum() == len(rows) - 2


def test_an_event_named_among_many_classes_is_refused(tmp_path: Path) -> None:
    case, rows, _ = rows_of(tmp_path, "house", model={"event": "villa"})
    with pytest.raises(UserError, match=r"model\.event is for binary labels, but there are 3"):
        case.fit_preprocessing(rows)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("label", ["house", "limit"])
def test_every_recipe_goes_through_all_stages(tmp_path: Path, label: Any) -> None:
    others = [name for name in LABELS if name != label]
    credit_table.write(tmp_path / "table.csv", table().drop(columns=others))
    stanza = {
        "fetch": {"path": "table.csv", "label": label},
        "training": {"epochs": 3, "batch_size": 64, "seed": 7},
        "contract": {"max_drop": 1.0, "min_speedup": 0.01, "max_size_share": 1.0},
    }
    recipes = {
        "dense": [],
        "int8": [{"quantize": {}}],
        "pruned": [{"prune": {"ratio": 0.4}}],
        "distilled": [{"distill": {}}],
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"use_cases": {"credit": stanza}, "recipes": recipes}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    commands = [[stage, "credit"] for stage in ("fetch", "clean", "augment", "train", "baselines")]
    commands += [[stage, "credit", recipe] for recipe in recipes for stage in ("compress", "evaluate")]
    for command in [*commands, ["latency", "credit"], ["release", "credit"]]:
        done = subprocess.run(
            [sys.executable, "-m", "tasks", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    verdict = Artifact(tmp_path / "data" / "credit" / "release").json("verdict.json")
    assert verdict["verdict"] == "released"
    candidates = {candidate["recipe"]: candidate for candidate in verdict["candidates"]}
    assert set(recipes) - {"dense"} < set(candidates), "classic models compete"
    assert candidates[verdict["released"]]["status"] == "kept"
