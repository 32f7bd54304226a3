"""Who will not pay back? Area under the ROC curve on five folds of each credit file, network beside its rivals.

Settings are chosen inside each fold's train rows, on a fifth of them kept aside; a fold's own rows judge, and choose nothing.
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
from benchmarks.scene import scene
from tasks.core import registry
from tasks.core.artifacts import Artifact, Table
from tasks.metrics import binary_classification
from tasks.training import trainer
from tasks.use_cases.credit import datasets
from tasks.use_cases.credit.use_case import Credit

FOLDS, SEED = 5, 0
CANDIDATES: tuple[dict[str, Any], ...] = (
    {},
    {"model": {"fields": {"dropout": 0.3}}},
    {"model": {"fields": {"hidden": [32, 32], "members": 8, "dropout": 0.2}}},
    {"training": {"epochs": 12, "learning_rate": 0.002}},
)
"""What differs from the use case's own settings."""
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "taiwan": ("card holders of Taiwan", {}),
    "german": ("loans of Statlog German credit", {"batch_size": 32}),
}
"""Who is in each file, and how a network of as many rows is fitted whatever else differs."""
GOALS = {"taiwan": 0.780}
"""Areas that were asked for."""


def main(files: Sequence[str] = tuple(FILES)) -> None:
    """Every file by itself, with results of its own."""
    if not os.environ.get("BONSAI_DATASETS"):
        print("skipped: BONSAI_DATASETS names no folder with credit/, and benchmarks do not download")
        return
    for name in files:
        measure(name)


def measure(name: str) -> None:
    """Fold by fold, settings chosen in the fold's train rows and judged on its own, all of it written down."""
    rows = cleaned(name)
    labels = rows["label"].to_numpy()
    cases = [case(name, candidate) for candidate in CANDIDATES]
    event = datasets.DATASETS[name].event
    found: dict[str, list[dict[str, float]]] = {}
    chosen, spent = [], []
    for fold, (known, asked) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).assign_split(rows, labels)):
        train, test = (rows.iloc[places].reset_index(drop=True) for places in (known, asked))
        best = choose(cases, train, fold, event)
        chosen.append(best)
        began = time.process_time()
        said = {"network": answer(cases[best], train, test, fold)}
        spent.append(time.process_time() - began)
        rivals = cases[best].baselines(train, test)
        said |= {rival: rivals[rival]["probability"].to_numpy() for rival in ("logistic regression", "gradient boosting")}
        for model, probability in said.items():
            found.setdefault(model, []).append(binary_classification.scores(test["label"] == event, probability))
    write(name, found, chosen, spent, len(rows))


def cleaned(name: str) -> pd.DataFrame:
    """The clean rows, as the pipeline's own stages make them; their splits are not used here."""
    with scene("credit", {"fetch.dataset": name}, ("dense",)) as place:
        for stage in ("fetch", "clean"):
            place.play(stage, "credit")
        return Table(Artifact(place.root / "data" / "credit" / "clean").open() / "rows").read().drop(columns="split")


def case(name: str, candidate: dict[str, Any]) -> Credit:
    training = {**FILES[name][1], **candidate.get("training", {})}
    found: Credit = registry.build("use_cases", "credit", {**candidate, "fetch": {"dataset": name}, "training": training})
    return found


def choose(cases: Sequence[Credit], train: pd.DataFrame, seed: int, event: str) -> int:
    """Which settings rank a fifth of the train rows best, fitted to the others."""
    learn, judge = train_test_split(train, test_size=0.2, stratify=train["label"], random_state=seed)
    learn, judge = learn.reset_index(drop=True), judge.reset_index(drop=True)
    areas = [binary_classification.auc(judge["label"] == event, answer(one, learn, judge, seed)) for one in cases]
    return int(np.argmax(areas))


def answer(one: Credit, train: pd.DataFrame, asked: pd.DataFrame, seed: int) -> binary_classification.Floats:
    """The probabilities of a network fitted to all of `train`, every epoch, for `asked`."""
    state = one.fit_preprocessing(train)
    inputs, targets = one.encode(train, state)
    torch.manual_seed(seed)
    fitted = trainer.fit(
        one.network(state), inputs, targets, objective=lambda net, x, y: one.loss(net(x), y), training=one.training
    )
    outputs = trainer.predict(fitted.network, one.encode(asked, state)[0])
    said: binary_classification.Floats = one.decode(asked, outputs, state)["probability"].to_numpy()
    return said


def write(name: str, found: dict[str, list[dict[str, float]]], chosen: list[int], spent: list[float], count: int) -> None:
    rows = []
    for model, folds in found.items():
        areas = [scores["auc"] for scores in folds]
        means = {key: statistics.mean(scores[key] for scores in folds) for key in ("auc", "ks", "brier", "ece")}
        rows.append({"model": model, **means, "auc_sd": statistics.stdev(areas), "auc_folds": [round(area, 4) for area in areas]})
    network = next(row for row in rows if row["model"] == "network")
    best = max(rows, key=lambda row: row["auc"])
    rival = max((row for row in rows if row is not network), key=lambda row: row["auc"])["model"]
    gains = [own["auc"] - other["auc"] for own, other in zip(found["network"], found[rival], strict=True)]
    goal = f" and {'keeps' if network['auc'] >= GOALS[name] else 'misses'} the goal of {GOALS[name]:.3f}" if name in GOALS else ""
    sentence = (
        f"{count:,} {FILES[name][0]}, {FOLDS} stratified folds: the network's area is {network['auc']:.4f}{goal}; "
        f"against {rival} {statistics.mean(gains):+.4f} ({min(gains):+.4f}..{max(gains):+.4f} a fold). "
        f"The better choice is {'the network' if best is network else best['model']}"
        f"{', by so little that folds disagree' if min(gains) < 0 < max(gains) else ''}."
    )
    more = {"candidates": list(CANDIDATES), "chosen": chosen, "fit_cpu_s": [round(each, 2) for each in spent]}
    record.write("credit" if name == "taiwan" else f"credit_{name}", sentence, rows, **more)
