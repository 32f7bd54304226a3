"""What a file promises of its uncertainty is measured on rows that chose nothing, and stands on the model card."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import calibration, onnx_export
from tasks.core.problem import Problem
from tasks.core.storage.artifacts import Artifact
from tasks.core.storage.atomic_files import write_bytes
from tasks.evaluation import uncertainty as measured
from tasks.metrics.uncertainty import OUT_OF_DISTRIBUTION, UNDECIDED, Reading
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.release import model_card
from tests.support import tiny_images

STATE = {"classes": list(tiny_images.NAMES)}


class ClassifiedBars(tiny_images.Bars):
    problem: ClassVar[Problem] = MulticlassClassification()


def content(folder: Path) -> bytes:
    return (folder / "model.onnx").read_bytes()


def test_coverage_set_sizes_and_abstentions_are_counted_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]])
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]], bool)
    filled = sets | np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    reading = Reading(probabilities, sets, filled, ["", UNDECIDED, "", OUT_OF_DISTRIBUTION])
    summary = measured.summary(reading, np.array([0, 1, 1, 0]))
    assert (summary["coverage"]["value"], summary["prediction_set_coverage"]) == (0.5, 0.75)
    assert summary["coverage"]["method"] == "Wilson score"
    assert (summary["set_sizes"], summary["mean_set_size"]) == ({"1": 3, "2": 1}, 1.25)
    assert summary["empty_conformal_sets"] == 0.25
    assert (summary["abstained"], summary["abstained_for"]) == (0.5, {OUT_OF_DISTRIBUTION: 0.25, UNDECIDED: 0.25})
    assert (summary["likeliest_right"], summary["likeliest_right_where_answered"]) == (0.5, 1.0)


def test_a_model_that_never_answers_has_no_share_of_right_answers() -> None:
    reading = Reading(np.array([[0.5, 0.5]]), np.ones((1, 2), bool), np.ones((1, 2), bool), [UNDECIDED])
    assert measured.summary(reading, np.array([0]))["likeliest_right_where_answered"] is None


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Recipes with the fitted network of the toy use case, without calibration and with it."""
    root, case = tmp_path_factory.mktemp("recipes"), ClassifiedBars()
    parts = {split: case.encode(table, STATE) for split, table in tiny_images.rows(900).groupby("split")}
    torch.manual_seed(0)
    plain = onnx_export.to_onnx(tiny_images.fitted_network(), parts["train"][0], STATE, "bars")
    inputs, targets = parts["validation"]
    calibrated, _ = calibration.calibrate(
        plain,
        case.problem,
        STATE,
        train_inputs=parts["train"][0],
        validation_inputs=inputs,
        validation_targets=targets,
        coverage=0.9,
    )
    for name, content in (("plain", plain), ("calibrated", calibrated)):
        with Artifact(root / name).draft() as draft:
            write_bytes(draft / "model.onnx", content)
    return root


def split_rows(seed: int) -> dict[str, pd.DataFrame]:
    return {str(split): table.reset_index(drop=True) for split, table in tiny_images.rows(900, seed).groupby("split")}


def test_the_promised_coverage_is_kept_on_test_rows(files: Path) -> None:
    splits = {"test": split_rows(0)["test"]}
    result = measured.measure_uncertainty(content(files / "calibrated"), ClassifiedBars(), splits)["uncertainty"]
    test = result["splits"]["test"]
    assert (result["coverage"], result["scores"]) == (0.9, ["energy", "inputs"])
    assert test["rows"] == 225
    assert test["coverage"]["low"] < 0.9 < test["coverage"]["high"] + 0.03
    assert test["abstained_for"][OUT_OF_DISTRIBUTION] < 0.08
    assert test["abstained"] == pytest.approx(sum(test["abstained_for"].values()))


def test_inverted_pictures_are_abstained_from(files: Path) -> None:
    rows = split_rows(0)["test"]
    rows["pixels"] = [bytes(255 - value for value in pixels) for pixels in rows["pixels"]]
    result = measured.measure_uncertainty(content(files / "calibrated"), ClassifiedBars(), {"test": rows})
    assert result["uncertainty"]["splits"]["test"]["abstained_for"][OUT_OF_DISTRIBUTION] > 0.95


def test_a_file_without_the_entry_has_nothing_to_measure(files: Path) -> None:
    assert measured.measure_uncertainty(content(files / "plain"), ClassifiedBars(), split_rows(0)) == {}


def test_the_card_says_what_the_model_abstains_on(files: Path) -> None:
    splits = {"test": split_rows(0)["test"]}
    metrics = measured.measure_uncertainty(content(files / "calibrated"), ClassifiedBars(), splits)
    test = metrics["uncertainty"]["splits"]["test"]
    sentence = model_card.abstention(metrics)
    assert sentence.startswith(f"It abstains on {test['abstained']:.1%} of test rows: ")
    assert f"coverage 0.9 promised, {test['coverage']['value']:.3f} measured on test" in sentence
    assert model_card.abstention({}) == "It always answers, also when asked about something it never saw."
