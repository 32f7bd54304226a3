"""How many rows a network learns from at once, by what its layers put out."""

import numpy as np
import pytest
import torch
from torch import nn

from tasks.core.settings import Training
from tasks.training import activations, trainer
from tasks.training.activations import rows_per_pass, split_edges


def network(side: int = 80) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * side * side, 2))


def test_rows_follow_from_the_outputs_of_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = torch.zeros(40, 3, 80, 80, dtype=torch.uint8)
    row = 4 * (4 * 80 * 80 + 4 * 80 * 80 + 2)
    monkeypatch.setattr(activations, "PASS_BYTES", 2 * row * 20)
    assert rows_per_pass(network(), inputs, 32) == 20
    assert rows_per_pass(network(), inputs, 16) == 16
    monkeypatch.setattr(activations, "PASS_BYTES", 1)
    assert rows_per_pass(network(), inputs, 32) == activations.MIN_ROWS


def test_layers_that_do_not_learn_take_nothing_unless_gradients_go_to_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, fixed = torch.zeros(40, 3, 80, 80, dtype=torch.uint8), network().requires_grad_(False)
    monkeypatch.setattr(activations, "PASS_BYTES", 2 * 4 * (8 * 80 * 80 + 2) * 20)
    assert rows_per_pass(fixed, inputs, 32) == 32
    assert rows_per_pass(fixed, inputs, 32, to_inputs=True) == 20


def test_small_pictures_and_other_inputs_are_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "PASS_BYTES", 1)
    assert rows_per_pass(network(64), torch.zeros(40, 3, 64, 64, dtype=torch.uint8), 32) == 32
    assert rows_per_pass(nn.Linear(9, 2), torch.zeros(40, 9), 32) == 32


@pytest.mark.parametrize(
    ("edges", "rows", "expected"),
    [
        ([0, 10, 20], 10, [0, 10, 20]),
        ([0, 10, 20], 5, [0, 5, 10, 15, 20]),
        ([3, 13], 4, [3, 6, 9, 13]),
        ([0, 10, 30], 10, [0, 10, 20, 30]),
    ],
)
def test_batches_are_split_into_parts_of_nearly_equal_size(edges: list[int], rows: int, expected: list[int]) -> None:
    assert split_edges(edges, rows) == expected


def test_a_batch_in_parts_gives_the_weights_of_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.random.default_rng(0).integers(0, 256, (24, 3, 65, 65), dtype=np.uint8)
    targets = (inputs.mean((1, 2, 3)) > 127.5).astype(np.int64)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network(65)

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.layers(batch.float() / 255)  # type: ignore[no-any-return]

    def fit() -> list[torch.Tensor]:
        torch.manual_seed(0)
        training = Training(epochs=2, batch_size=24, learning_rate=0.001, precision="fp32", seed=3)
        fitted = trainer.fit(
            Scaled(), inputs, targets, training=training,
            objective=lambda model, x, y: nn.functional.cross_entropy(model(x), y),
        )  # fmt: skip
        return list(fitted.network.state_dict().values())

    whole = fit()
    monkeypatch.setattr(activations, "PASS_BYTES", 1)
    for one, other in zip(fit(), whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
