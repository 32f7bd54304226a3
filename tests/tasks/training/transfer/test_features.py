"""Features are computed once for each row and variant, and a killed computation goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.training.runtime.precision import ComputePlan
from tasks.training.transfer import features

PLAN = ComputePlan("cpu", "fp32", True, "")


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.rows = 0
        self.stop_after = 10**9

    def forward(self, x: Any) -> Any:
        if self.rows >= self.stop_after:
            raise KeyboardInterrupt
        self.rows += len(x)
        return x.float().mean((2, 3)) * self.weight


def pictures(count: Any) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4), np.uint8)


def test_features_are_the_outputs_in_the_order_of_the_rows(tmp_path: Path) -> None:
    inputs = pictures(150)
    found = features.compute(Counted(), inputs, PLAN, tmp_path)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, 2 * inputs.mean((2, 3)), rtol=1e-3)


def test_variants_follow_the_rows_and_the_first_is_the_row_itself(tmp_path: Path) -> None:
    inputs = pictures(70)
    found = features.compute(Counted(), inputs, PLAN, tmp_path, variants=3, augmentation=lambda x, uniforms: x // 2)
    np.testing.assert_allclose(found[:70], 2 * inputs.mean((2, 3)), rtol=1e-3)
    np.testing.assert_allclose(found[140:], 2 * (inputs // 2).mean((2, 3)), rtol=1e-3)


def test_a_killed_computation_goes_on_with_the_first_missing_block(tmp_path: Path) -> None:
    inputs, network = pictures(150), Counted()
    whole = features.compute(Counted(), inputs, PLAN, tmp_path / "other")
    network.stop_after = 2 * features.BLOCK_ROWS
    with pytest.raises(KeyboardInterrupt):
        features.compute(network, inputs, PLAN, tmp_path)
    network.rows, network.stop_after = 0, 10**9
    assert np.array_equal(features.compute(network, inputs, PLAN, tmp_path), whole)
    assert network.rows == 150 - 2 * features.BLOCK_ROWS
    assert not list(tmp_path.rglob("*-*.npy"))


def test_other_weights_do_not_reuse_the_blocks(tmp_path: Path) -> None:
    inputs, network = pictures(150), Counted()
    network.stop_after = features.BLOCK_ROWS
    with pytest.raises(KeyboardInterrupt):
        features.compute(network, inputs, PLAN, tmp_path)
    other = Counted()
    other.weight.data.fill_(3.0)
    features.compute(other, inputs, PLAN, tmp_path)
    assert other.rows == 150


def test_large_rows_pass_a_few_at_a_time(tmp_path: Path) -> None:
    passed = []

    class Counting(nn.Flatten):
        def forward(self, x: Any) -> Any:
            passed.append(len(x))
            return super().forward(x)[:, :3]

    inputs = np.zeros((70, 3, 256, 256), np.uint8)
    assert features.compute(Counting(), inputs, PLAN, tmp_path).shape == (70, 3)
    assert max(passed) == 16
    assert sum(passed) == 70
