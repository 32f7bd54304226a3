"""Adversarial examples: exact on a linear model, inside their ball, and training against them pays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tasks.core.errors import UserError
from tasks.core.use_case import InputRange
from tasks.training import adversarial, trainer
from tests.support.tiny_fits import QUICK, accuracy, fingerprint, images, network, objective

PIXELS = InputRange(0.0, 255.0)


def test_one_step_on_a_linear_loss_moves_each_input_by_the_radius_along_its_weight() -> None:
    weights, x = torch.tensor([2.0, -0.1, 0.0]), torch.tensor([[0.5, 0.5, 0.5]])
    ball = adversarial.Ball.around(x, InputRange(0.0, 1.0), 0.1)
    moved = adversarial.fgsm(lambda inputs: (inputs * weights).sum(), ball)
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.4, 0.5]]))


def test_ten_steps_reach_the_edge_of_the_ball_from_any_start() -> None:
    x = torch.full((4, 3), 0.5)
    ball = adversarial.Ball.around(x, InputRange(0.0, 1.0), 0.1)
    moved = adversarial.pgd(lambda inputs: inputs.sum(), ball, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved, x + 0.1)


def test_an_example_stays_in_the_range_of_its_inputs_and_in_the_ball() -> None:
    x = torch.tensor([[0.0, 250.0, 128.0]])
    ball = adversarial.Ball.around(x, PIXELS, 0.1)
    down = adversarial.pgd(lambda inputs: -inputs.sum(), ball, torch.Generator().manual_seed(0))
    up = adversarial.pgd(lambda inputs: inputs.sum(), ball, torch.Generator().manual_seed(0))
    torch.testing.assert_close(down, torch.tensor([[0.0, 224.5, 102.5]]))
    torch.testing.assert_close(up, torch.tensor([[25.5, 255.0, 153.5]]))


def test_codes_outliers_and_missing_numbers_stay_what_they_are() -> None:
    bounds = InputRange(np.array([0.0, 0.0, 0.0], np.float32), np.array([1.0, 0.0, 1.0], np.float32))
    x = torch.tensor([[9.0, 3.0, float("nan")]])
    ball = adversarial.Ball.around(x, bounds, 0.1)
    moved = adversarial.fgsm(lambda inputs: -torch.nan_to_num(inputs).sum(), ball)
    assert moved[0, 0] == pytest.approx(8.9)
    assert moved[0, 1] == 3.0
    assert moved[0, 2].isnan()


def test_whole_numbers_are_rounded_towards_the_inputs() -> None:
    inputs = torch.tensor([[100, 100, 100, 0]], dtype=torch.uint8)
    examples = torch.tensor([[107.9, 92.1, 108.0, 7.99999]])
    assert adversarial.restore_type(examples, inputs).tolist() == [[107, 93, 108, 8]]
    floats = torch.rand(2, 3)
    assert torch.equal(adversarial.restore_type(floats, inputs.float()[:, :3]), floats)


def test_adversarial_training_without_a_range_of_inputs_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"training.adversarial is 0.1, but these inputs are no real values .* set it to 0"):
        trainer.fit(network(), *images(), objective=objective, training=replace(QUICK, adversarial=0.1))


def robust_accuracy(model: Any, epsilon: float) -> float:
    """The share of right answers to PGD examples of images that training did not see."""
    x, y = (torch.from_numpy(part) for part in images(192, seed=5))
    model.requires_grad_(False)
    ball = adversarial.Ball.around(x, PIXELS, epsilon)
    moved = adversarial.pgd(lambda inputs: objective(model, inputs, y), ball, torch.Generator().manual_seed(0))
    return float((model(moved).argmax(1) == y).float().mean())


def test_adversarial_training_raises_the_accuracy_under_projected_gradient_descent() -> None:
    training = replace(QUICK, epochs=12)
    validation = images(96, seed=1)
    plain, hardened = (
        trainer.fit(
            network(),
            *images(),
            objective=objective,
            training=replace(training, adversarial=epsilon),
            validation=validation,
            monitor=accuracy,
            input_range=PIXELS,
        )
        for epsilon in (0.0, 0.15)
    )
    assert robust_accuracy(hardened.network, 0.15) > robust_accuracy(plain.network, 0.15) + 0.1
    assert hardened.curves[-1]["validation_accuracy"] > 0.9


def test_a_repetition_gives_the_same_network_and_the_setting_changes_it() -> None:
    first, second = (
        trainer.fit(network(), *images(), objective=objective, training=replace(QUICK, adversarial=0.1), input_range=PIXELS)
        for _ in range(2)
    )
    assert fingerprint(first.network) == fingerprint(second.network)
    plain = trainer.fit(network(), *images(), objective=objective, training=QUICK, input_range=PIXELS)
    assert fingerprint(plain.network) != fingerprint(first.network)
