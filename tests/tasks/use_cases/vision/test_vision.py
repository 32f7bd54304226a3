"""The vision use case: encoding, model, predictions and baselines."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.core.errors import UserError
from tasks.metrics import classification
from tasks.use_cases.vision.datasets import DATASETS
from tasks.use_cases.vision.use_case import Vision
from tests.support import exported_baselines

RNG = np.random.default_rng(0)


def test_encode_gives_one_picture_and_one_number_per_row(digits: Any) -> None:
    state = Vision().fit_preprocessing(digits)
    inputs, targets = Vision().encode(digits, state)
    assert inputs.shape == (400, 1, 28, 28)
    assert (inputs.dtype, targets.dtype) == (np.dtype(np.uint8), np.dtype(np.int64))
    assert [state["classes"][number] for number in targets] == digits["label"].tolist()
    assert state["mean"][0] == pytest.approx(inputs.mean() / 255, abs=1e-6)


def test_a_class_the_model_never_saw_is_named(digits: Any) -> None:
    with pytest.raises(UserError, match="the model knows no class 'seven'; it knows 0, 1"):
        Vision().encode(digits.head(1).assign(label="seven"), Vision().fit_preprocessing(digits))


def test_the_network_takes_what_encode_gives_and_the_loss_comes_down_to_the_classes(digits: Any) -> None:
    vision = Vision()
    state = vision.fit_preprocessing(digits)
    inputs, targets = vision.encode(digits.head(8), state)
    outputs = vision.build_model(state)(torch.from_numpy(inputs))
    assert outputs.shape == (8, 10)
    assert 0 < vision.problem.loss(outputs, torch.from_numpy(targets), vision.training).item() < 20


def test_a_student_is_narrower(digits: Any) -> None:
    state = Vision().fit_preprocessing(digits)
    teacher, student = Vision().build_model(state), Vision().build_student(state, 0.5)
    assert sum(p.numel() for p in student.parameters()) < 0.4 * sum(p.numel() for p in teacher.parameters())


def test_decode_predicts_every_row_and_survives_parquet(digits: Any, tmp_path: Path) -> None:
    vision, some = Vision(), digits.head(30)
    outputs = np.eye(10, dtype=np.float32)[[int(label) for label in some["label"]]] * 5
    vision.problem.decode(some, outputs, vision.fit_preprocessing(digits)).to_parquet(tmp_path / "p.parquet")
    predictions = pd.read_parquet(tmp_path / "p.parquet")
    assert predictions["predicted"].tolist() == some["label"].tolist()
    assert "image" not in predictions
    scores = vision.problem.metrics(predictions)
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == vision.problem.per_row_metric(predictions).mean() == 1
    assert vision.problem.report(predictions)["confusion"][0][0] == (some["label"] == "0").sum()


def test_scores_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    classes, truth = ["a", "b", "c"], RNG.integers(0, 3, 300)
    logits = RNG.normal(size=(300, 3)) + 2 * np.eye(3)[truth] * RNG.random((300, 1))
    rows = pd.DataFrame({"label": np.array(classes)[truth]})
    predictions = classification.predictions_table(rows, classification.softmax(logits), classes, ("label",))
    scores, report = classification.metrics(predictions), classification.report(predictions)
    label, guess = predictions["label"], predictions["predicted"]
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(label, guess))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(label, guess, average="macro"))
    assert scores["weighted_f1"] == pytest.approx(metrics.f1_score(label, guess, average="weighted"))
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(label, classification.softmax(logits)), abs=1e-6)
    assert report["confusion"] == metrics.confusion_matrix(label, guess).tolist()
    theirs = metrics.classification_report(label, guess, output_dict=True)
    for row in report["per_class"]:
        assert {name: row[name] for name in ("precision", "recall")} == pytest.approx(
            {name: theirs[row["class"]][name] for name in ("precision", "recall")}
        )
    assert report["averages"]["weighted"]["precision"] == pytest.approx(theirs["weighted avg"]["precision"])
    assert report["macro_roc_auc"] == pytest.approx(
        metrics.roc_auc_score(truth, classification.softmax(logits), multi_class="ovr")
    )


def test_a_class_that_is_never_predicted_has_no_nan_anywhere() -> None:
    import json

    rows = pd.DataFrame({"label": ["a", "b", "b"]})
    predictions = classification.predictions_table(rows, np.array([[0.9, 0.1, 0.0]] * 3), ["a", "b", "c"], ("label",))
    json.dumps([classification.metrics(predictions), classification.report(predictions)], allow_nan=False)


def test_the_baselines_predict_every_row(digits: Any) -> None:
    train, test = digits.drop(digits.index[::4]), digits.iloc[::4]
    guesses = {**Vision().baselines(train, test), **exported_baselines.predictions(Vision(), train, test)}
    assert list(guesses) == ["majority", "kernel machine"]
    assert all(len(table) == 100 for table in guesses.values())
    kernel, majority = (Vision().problem.metrics(guesses[name])["accuracy"] for name in ("kernel machine", "majority"))
    assert kernel > majority + 0.3


def test_the_module_needs_no_torch() -> None:
    code = "import sys, tasks.use_cases.vision.use_case; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4]).returncode == 0


def test_every_file_of_a_data_set_is_named_with_its_sha256() -> None:
    for dataset in DATASETS.values():
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256, _ in dataset.files)
        assert len({name for name, _, _ in dataset.files}) == len(dataset.files)
