"""Robustness of a table's network: areas under the curve under corruptions, and attacks on numbers but on no code."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core import registry
from tasks.evaluation import adversarial, robustness
from tests.support import credit_table


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Any:
    own = credit_table.write(tmp_path_factory.mktemp("own") / "lenders.csv")
    return registry.build("use_cases", "credit", {"fetch": {"path": str(own)}})


@pytest.fixture(scope="module")
def rows(case: Any) -> pd.DataFrame:
    raw = pd.concat(list(case.load()), ignore_index=True)
    cleaned = case.clean_partition(raw)
    good = cleaned[cleaned["fault"] == ""].drop(columns=["fault", "fix"])
    return good.assign(file="f", row=range(len(good)), split="test").reset_index(drop=True)


@pytest.fixture(scope="module")
def state(case: Any, rows: Any) -> Any:
    return case.fit_preprocessing(rows)


def attacked(case: Any, rows: Any, state: Any, seed: int) -> adversarial.Attacked:
    torch.manual_seed(seed)
    network = case.build_model(state).eval()
    inputs, _ = case.encode(rows, state)
    return adversarial.Attacked(network, onnx_export.to_onnx(network, inputs, state, "credit"), state)


def test_every_corruption_has_an_area_under_the_curve_and_a_paired_drop(case: Any, rows: Any, state: Any) -> None:
    own, dense = (attacked(case, rows, state, seed) for seed in (0, 1))
    pair = robustness.ModelPair(*(robustness.ShippedModel(model.content, model.state) for model in (own, dense)))
    report = robustness.measure(case, pair, rows)
    assert report["metric"] == "auc"
    assert [entry["name"] for entry in report["corruptions"]] == ["missing columns"] * 2 + ["shifted scale"] * 2
    for entry in report["corruptions"]:
        assert 0 <= entry["low"] <= entry["score"] <= entry["high"] <= 1
        assert entry["drop"]["value"] == pytest.approx(entry["dense_score"] - entry["score"], abs=1e-9)
    assert report["mean"]["drop"]["value"] == pytest.approx(np.mean([entry["drop"]["value"] for entry in report["corruptions"]]))


def test_an_attack_lowers_the_area_and_moves_numbers_but_no_code_and_no_missing_cell(case: Any, rows: Any, state: Any) -> None:
    model, bounds = attacked(case, rows, state, 0), case.input_range(state)
    attacker = adversarial._Attacker(case, model, rows, bounds)
    before, after = attacker.inputs.numpy(), attacker.examples("PGD", 0.1)
    numbers = len(state["numbers"])
    assert np.array_equal(before[:, numbers:], after[:, numbers:])
    assert np.array_equal(np.isnan(before), np.isnan(after))
    assert np.isnan(before).any()
    assert (np.nan_to_num(before[:, :numbers]) != np.nan_to_num(after[:, :numbers])).any(0).all()
    clean = case.problem_of(state).decode(rows, onnx_outputs(model, before), state)
    (_, _, iterated) = adversarial.measure(case, model, model, rows, bounds)
    assert iterated["score"] < float(case.problem_of(state).per_row_metric(clean).mean()) - 0.02


def onnx_outputs(model: adversarial.Attacked, inputs: Any) -> Any:
    from tasks.core import onnx_model

    return onnx_model.predict(model.content, inputs)
