"""Robustness: scores under corruptions, paired with dense, and the mean drop by row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.use_case import Corruption
from tasks.evaluation import robustness
from tasks.evaluation.robustness import ModelPair, ShippedModel
from tests.support import tiny_images

STATE = {"classes": list(tiny_images.NAMES)}


@dataclass(frozen=True)
class CorruptedBars(tiny_images.Bars):
    def corruptions(self) -> Any:
        return (Corruption("none at all", lambda rows, generator: rows), Corruption("snow", snow, 2), Corruption("half", half))


def snow(rows: Any, generator: Any) -> Any:
    return rows.assign(pixels=[generator.integers(0, 256, 64, dtype=np.uint8).tobytes() for _ in range(len(rows))])


def half(rows: Any, generator: Any) -> Any:
    return rows.iloc[::2]


def exported(network: Any, rows: Any) -> ShippedModel:
    from tasks.compression import onnx_export

    inputs, _ = tiny_images.Bars().encode(rows, STATE)
    return ShippedModel(onnx_export.to_onnx(network, inputs, STATE, "vision"), STATE)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = tiny_images.rows()
    return table[table["split"] == "test"].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(rows: Any) -> ShippedModel:
    return exported(tiny_images.fitted_network(), rows)


@pytest.fixture(scope="module")
def untrained(rows: Any) -> ShippedModel:
    import torch

    torch.manual_seed(1)
    return exported(tiny_images.Bars().build_model({}).eval(), rows)


@pytest.fixture(scope="module")
def report(rows: Any, fitted: Any, untrained: Any) -> Any:
    return robustness.measure(CorruptedBars(), ModelPair(untrained, fitted), rows)


def test_a_use_case_without_corruptions_reports_nothing(rows: Any, fitted: Any) -> None:
    assert robustness.measure(tiny_images.Bars(), ModelPair(fitted, fitted), rows) == {}


def test_a_corruption_that_changes_nothing_scores_as_clean_rows_do(report: Any) -> None:
    (unchanged, _, _) = report["corruptions"]
    assert unchanged["score"] == report["clean"]["score"]
    assert unchanged["from_clean"]["value"] == 0
    assert unchanged["from_clean"]["low"] < 0 < unchanged["from_clean"]["high"]


def test_a_drop_is_dense_less_the_model_on_the_same_corrupted_rows(report: Any) -> None:
    for entry in report["corruptions"]:
        assert entry["drop"]["value"] == pytest.approx(entry["dense_score"] - entry["score"])
        assert entry["drop"]["low"] <= entry["drop"]["value"] <= entry["drop"]["high"]
        assert entry["low"] <= entry["score"] <= entry["high"]


def test_noise_alone_leaves_a_good_model_at_chance(report: Any, rows: Any) -> None:
    snowed = report["corruptions"][1]
    assert snowed["severity"] == 2
    assert report["clean"]["dense_score"] > 0.9
    assert snowed["dense_score"] == pytest.approx(0.5, abs=0.2)


def test_a_corruption_that_leaves_rows_out_is_measured_on_those_it_keeps(report: Any, rows: Any) -> None:
    kept = report["corruptions"][2]
    assert kept["rows"] == (len(rows) + 1) // 2
    assert kept["drop"]["rows"] == kept["rows"]
    assert kept["from_clean"]["low"] is None


def test_dense_has_scores_and_no_drop_from_itself(rows: Any, fitted: Any) -> None:
    own = robustness.measure(CorruptedBars(), ModelPair(fitted, fitted), rows)
    assert [entry["drop"] for entry in own["corruptions"]] == [None, None, None]
    assert own["mean"]["drop"] is None
    assert own["mean"]["score"] == pytest.approx(np.mean([entry["score"] for entry in own["corruptions"]]))
    assert own["mean"]["score"] == own["mean"]["dense_score"]


def test_a_repetition_gives_the_same_numbers(report: Any, rows: Any, fitted: Any, untrained: Any) -> None:
    assert robustness.measure(CorruptedBars(), ModelPair(untrained, fitted), rows) == report


def test_at_most_a_thousand_rows_are_taken_evenly_spaced() -> None:
    sample = robustness.sample_rows(pd.DataFrame({"row": range(2500)}), robustness.MAX_ROWS)
    assert len(sample) == 1000
    assert sample["row"].diff().dropna().isin([2, 3]).all()
    assert list(sample.index) == list(range(1000))


def test_the_mean_drop_averages_a_rows_differences_before_rows_are_resampled() -> None:
    index = pd.RangeIndex(400)
    values = np.random.default_rng(0).normal(0.1, 1.0, 400)
    once = robustness.mean_drop(index, [(index, values)])
    thrice = robustness.mean_drop(index, [(index, values)] * 3)
    numbers = [name for name, value in once.items() if isinstance(value, float)]
    assert [thrice[name] for name in numbers] == pytest.approx([once[name] for name in numbers]), "three equal ones know no more"
    assert once["standard_error"] == pytest.approx(values.std(ddof=1) / 20)
    assert once["low"] < once["value"] < once["at_most"] < once["high"]


def test_a_row_that_some_corruptions_leave_out_is_averaged_over_the_others() -> None:
    index = pd.RangeIndex(4)
    drop = robustness.mean_drop(index, [(index[:2], np.array([1.0, 0.0])), (index[1:3], np.array([1.0, 1.0]))])
    assert drop["value"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert drop["rows"] == 3


def test_rows_that_no_corruption_changes_still_leave_a_bound_above_zero() -> None:
    index = pd.RangeIndex(750)
    drop = robustness.mean_drop(index, [(index, np.zeros(750))] * 4)
    assert drop["value"] == 0
    assert drop["at_most"] == pytest.approx(0.0036, abs=1e-4)


@pytest.mark.parametrize(("macs", "rows"), [(0, 1000), (4_000_000, 1000), (8_000_000, 500), (10**9, 300)])
def test_the_larger_the_network_the_fewer_rows_are_corrupted(macs: int, rows: int) -> None:
    assert robustness.row_limit(macs, robustness.MACS, robustness.MIN_ROWS, robustness.MAX_ROWS) == rows
