"""Scores on adversarial examples: made with a model's own network, answered by its file, paired with dense."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core.use_case import InputRange
from tasks.evaluation import adversarial
from tests.support import tiny_images

STATE = {"classes": list(tiny_images.NAMES)}
PIXELS = InputRange(0.0, 255.0)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = tiny_images.rows()
    return table[table["split"] == "test"].reset_index(drop=True)


def attacked(network: Any, rows: Any) -> adversarial.Attacked:
    inputs, _ = tiny_images.Bars().encode(rows, STATE)
    return adversarial.Attacked(network, onnx_export.to_onnx(network, inputs, STATE, "vision"), STATE)


@pytest.fixture(scope="module")
def dense(rows: Any) -> adversarial.Attacked:
    return attacked(tiny_images.fitted_network(), rows)


@pytest.fixture(scope="module")
def untrained(rows: Any) -> adversarial.Attacked:
    torch.manual_seed(1)
    return attacked(tiny_images.Bars().build_model({}).eval(), rows)


def test_a_larger_radius_and_more_steps_fool_more(rows: Any, dense: Any) -> None:
    entries = adversarial.measure(tiny_images.Bars(), dense, dense, rows, PIXELS)
    assert [(entry["attack"], round(entry["epsilon"], 3)) for entry in entries] == [("FGSM", 0.031), ("FGSM", 0.1), ("PGD", 0.1)]
    small, large, iterated = (entry["score"] for entry in entries)
    assert small >= large >= iterated
    assert iterated < 0.9
    assert all(entry["drop"] is None and entry["dense_score"] == entry["score"] for entry in entries)


def test_a_drop_compares_each_model_under_the_attack_on_itself(rows: Any, dense: Any, untrained: Any) -> None:
    entries = adversarial.measure(tiny_images.Bars(), untrained, dense, rows, PIXELS)
    for entry in entries:
        assert entry["rows"] == len(rows)
        assert entry["drop"]["value"] == pytest.approx(entry["dense_score"] - entry["score"])
        assert entry["low"] <= entry["score"] <= entry["high"]


def test_a_repetition_gives_the_same_numbers(rows: Any, dense: Any, untrained: Any) -> None:
    first, second = (adversarial.measure(tiny_images.Bars(), untrained, dense, rows, PIXELS) for _ in range(2))
    assert first == second


def test_the_examples_have_the_type_of_the_files_inputs_and_stay_within_the_radius(rows: Any, dense: Any) -> None:
    attacker = adversarial._Attacker(tiny_images.Bars(), dense, rows, PIXELS)
    examples = attacker.examples("PGD", 0.1)
    assert examples.dtype == np.uint8
    change = np.abs(examples.astype(int) - attacker.inputs.numpy().astype(int))
    assert 0 < change.max() <= 25
