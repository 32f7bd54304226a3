"""Every optimizer trains, schedules follow their shape, and Muon updates hidden matrices by orthogonal steps."""

from dataclasses import replace
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch import nn

from tasks.core.settings import Training
from tasks.training import optimizers
from tests.support.tiny_fits import QUICK, fit, network

RATES = {"sgd": 0.5, "nesterov": 0.5, "adam": 0.03, "adamw": 0.03, "adagrad": 0.1, "adafactor": 0.1, "muon": 0.03}


@pytest.mark.parametrize("name", RATES)
def test_every_optimizer_lowers_the_loss(name: Any) -> None:
    curves = fit(replace(QUICK, optimizer=name, learning_rate=RATES[name], epochs=12)).curves
    assert curves[-1]["loss"] < 0.5 * curves[0]["loss"]


def test_every_optimizer_of_the_settings_is_tested() -> None:
    assert set(RATES) == set(get_args(get_type_hints(Training)["optimizer"]))


@pytest.mark.parametrize(
    ("schedule", "shares"), [("constant", [0.5, 1, 1, 1]), ("one_cycle", [0.5, 1, 0.5, 0]), ("cosine", [0.5, 1, 0.5, 0])]
)
def test_the_learning_rate_warms_up_and_then_follows_its_schedule(schedule: Any, shares: Any) -> None:
    training = replace(QUICK, schedule=schedule, warmup_share=0.2)
    assert [optimizers.schedule(training, progress) for progress in (0.1, 0.2, 0.6, 1.0)] == pytest.approx(shares)


def test_steps_of_muon_are_nearly_orthogonal_for_every_shape() -> None:
    torch.manual_seed(0)
    for shape in ((16, 16), (8, 40), (40, 8)):
        values = torch.linalg.svdvals(optimizers.orthogonalize(torch.randn(shape), 5))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_updates_hidden_matrices_and_adamw_the_rest() -> None:
    muon, adamw = optimizers.build("muon", network(), 0.01, 0.1)
    assert [weight.ndim for group in muon.param_groups for weight in group["params"]] == [4] * 5
    decays = {group["weight_decay"]: [weight.ndim for weight in group["params"]] for group in adamw.param_groups}
    assert decays == {0.1: [2], 0.0: [1] * 6}
    text = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    (hidden,) = optimizers.hidden_matrices(text)
    assert hidden is text[1].weight
