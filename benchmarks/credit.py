"""Who will not pay back? Area under the ROC curve on five folds of each credit file, network and baselines.

Settings are chosen on a fifth of each fold's train rows, held out. A fold's test rows are used for reporting only.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedKFold, train_test_split

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core import registry
from tasks.core.exported_baseline import ExportedBaseline
from tasks.core.storage.artifacts import Artifact, Table
from tasks.evaluation import classic_models
from tasks.metrics import binary_classification
from tasks.stages import baselines
from tasks.training import trainer
from tasks.use_cases.credit import datasets
from tasks.use_cases.credit.use_case import Credit

FOLDS, SEED = 5, 0
BASELINES = ("logistic regression", "gradient boosting")
CANDIDATES: tuple[dict[str, Any], ...] = (
    {},
    {"model": {"fields": {"dropout": 0.3}}},
    {"model": {"fields": {"hidden": [32, 32], "members": 8, "dropout": 0.2}}},
    {"training": {"epochs": 12, "learning_rate": 0.002}},
)
"""Settings to choose from, as differences from the use case's defaults."""
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "taiwan": ("card holders of Taiwan", {}),
    "german": ("loans of Statlog German credit", {"batch_size": 32}),
}
"""What each file holds, and the training settings for a file of that size."""
GOALS = {"taiwan": 0.780}
"""The area under the curve that the network should reach."""


def main(files: Sequence[str] = tuple(FILES)) -> None:
    """Measure each file and write its results."""
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with credit/, and benchmarks do not download")
        return
    for name in files:
        measure_dataset(name)


def measure_dataset(name: str) -> None:
    """For each fold, choose settings on the train rows and score the test rows; write the results."""
    rows = clean_rows(name)
    labels = rows["label"].to_numpy()
    cases = [build_case(name, candidate) for candidate in CANDIDATES]
    event = datasets.DATASETS[name].event
    scores_by_model: dict[str, list[dict[str, float]]] = {}
    chosen, fit_cpu_s = [], []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(rows, labels)
    for fold, (train_places, test_places) in enumerate(folds):
        train, test = (rows.iloc[places].reset_index(drop=True) for places in (train_places, test_places))
        best = choose_candidate(cases, train, fold, event)
        chosen.append(best)
        began = time.process_time()
        probabilities = {"network": predict_probabilities(cases[best], train, test, fold)}
        fit_cpu_s.append(time.process_time() - began)
        exported = cases[best].exported_baselines(train)
        probabilities |= {other: classic_probabilities(cases[best], exported[other], test) for other in BASELINES}
        for model, probability in probabilities.items():
            scores_by_model.setdefault(model, []).append(binary_classification.metrics(test["label"] == event, probability))
    write_results(name, scores_by_model, chosen, fit_cpu_s, len(rows))


def clean_rows(name: str) -> pd.DataFrame:
    """The clean rows that the pipeline's stages write. Their splits are not used here."""
    with temporary_workspace("credit", {"fetch.dataset": name}, ("dense",)) as workspace:
        for stage in ("fetch", "clean"):
            workspace.run_stage(stage, "credit")
        return Table(Artifact(workspace.root / "data" / "credit" / "clean").open() / "rows").read().drop(columns="split")


def build_case(name: str, candidate: dict[str, Any]) -> Credit:
    training = {**FILES[name][1], **candidate.get("training", {})}
    case: Credit = registry.build("use_cases", "credit", {**candidate, "fetch": {"dataset": name}, "training": training})
    return case


def choose_candidate(cases: Sequence[Credit], train: pd.DataFrame, seed: int, event: str) -> int:
    """The index of the settings with the largest area on a held-out fifth of the train rows."""
    fit_rows, validation_rows = train_test_split(train, test_size=0.2, stratify=train["label"], random_state=seed)
    fit_rows, validation_rows = fit_rows.reset_index(drop=True), validation_rows.reset_index(drop=True)
    target = validation_rows["label"] == event
    answers = [predict_probabilities(case, fit_rows, validation_rows, seed) for case in cases]
    return int(np.argmax([binary_classification.auc(target, probability) for probability in answers]))


def predict_probabilities(case: Credit, train: pd.DataFrame, rows: pd.DataFrame, seed: int) -> binary_classification.Floats:
    """Probabilities for `rows` by a network fitted to all of `train`, after the last epoch."""
    state = case.fit_preprocessing(train)
    inputs, targets = case.encode(train, state)
    torch.manual_seed(seed)
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda net, x, y: case.problem.loss(net(x), y, case.training),
        training=case.training,
    )
    outputs = trainer.predict(fitted.network, case.encode(rows, state)[0])
    probabilities: binary_classification.Floats = case.problem.decode(rows, outputs, state)["probability"].to_numpy()
    return probabilities


def classic_probabilities(case: Credit, baseline: ExportedBaseline, rows: pd.DataFrame) -> binary_classification.Floats:
    """Probabilities for `rows` by the file of a classic model."""
    predictions = classic_models.predict(baselines.to_bytes(baseline, case.name, "classic"), case, rows.assign(split="test"))
    probabilities: binary_classification.Floats = predictions["probability"].to_numpy()
    return probabilities


def write_results(
    name: str, scores_by_model: dict[str, list[dict[str, float]]], chosen: list[int], fit_cpu_s: list[float], count: int
) -> None:
    """Write the mean scores of every model over the folds, and the network's gain over the best baseline."""
    rows = []
    for model, folds in scores_by_model.items():
        areas = [scores["auc"] for scores in folds]
        means = {key: statistics.mean(scores[key] for scores in folds) for key in ("auc", "ks", "brier", "ece")}
        rows.append({"model": model, **means, "auc_sd": statistics.stdev(areas), "auc_folds": [round(area, 4) for area in areas]})
    network = next(row for row in rows if row["model"] == "network")
    best = max(rows, key=lambda row: row["auc"])
    baseline = max((row for row in rows if row is not network), key=lambda row: row["auc"])["model"]
    gains = [own["auc"] - other["auc"] for own, other in zip(scores_by_model["network"], scores_by_model[baseline], strict=True)]
    goal = f" and {'keeps' if network['auc'] >= GOALS[name] else 'misses'} the goal of {GOALS[name]:.3f}" if name in GOALS else ""
    sentence = (
        f"{count:,} {FILES[name][0]}, {FOLDS} stratified folds: the network's area is {network['auc']:.4f}{goal}; "
        f"against {baseline} {statistics.mean(gains):+.4f} ({min(gains):+.4f}..{max(gains):+.4f} a fold). "
        f"The better choice is {'the network' if best is network else best['model']}"
        f"{', by so little that folds disagree' if min(gains) < 0 < max(gains) else ''}."
    )
    more = {"candidates": list(CANDIDATES), "chosen": chosen, "fit_cpu_s": [round(each, 2) for each in fit_cpu_s]}
    record.write("credit" if name == "taiwan" else f"credit_{name}", sentence, rows, **more)
