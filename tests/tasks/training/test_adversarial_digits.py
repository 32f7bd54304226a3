"""Adversarial training on real digits: what it costs on clean rows is little, what it gains under attack is much."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.core.settings import Training
from tasks.models.vision.cnn import Cnn
from tasks.training import adversarial, trainer
from tasks.use_cases.vision.use_case import Vision

EPSILON = 0.1


def loss_of(model: Any, targets: Any, inputs: Any) -> Any:
    return torch.nn.functional.cross_entropy(model(inputs), targets)


@pytest.mark.slow
def test_adversarial_training_on_digits_raises_the_accuracy_under_projected_gradient_descent() -> None:
    case = Vision()
    rows = pd.concat(list(case.load()), ignore_index=True).iloc[::3].sample(frac=1, random_state=0).reset_index(drop=True)
    state = case.fit_preprocessing(rows)
    inputs, targets = case.encode(rows, state)
    problem, bounds = case.problem_of(state), case.input_range(state)
    assert bounds is not None
    training = Training(epochs=6, batch_size=64, learning_rate=0.005, precision="fp32", device="cpu")
    x, y = torch.from_numpy(inputs[:300]), torch.from_numpy(targets[:300])
    accuracy: dict[float, Any] = {}
    for epsilon in (0.0, EPSILON):
        torch.manual_seed(0)
        network = Cnn(side=28, classes=10, widths=(8, 16, 16, 32, 32), mean=state["mean"], std=state["std"])
        fitted = trainer.fit(
            network,
            inputs[300:],
            targets[300:],
            objective=lambda model, x, y: problem.loss(model(x), y, case.training),
            training=replace(training, adversarial=epsilon),
            input_range=bounds,
        ).network.requires_grad_(False)
        ball = adversarial.Ball.around(x, bounds, EPSILON)
        loss = partial(loss_of, fitted, y)
        moved = adversarial.pgd(loss, ball, torch.Generator().manual_seed(0))
        scores = (float((fitted(part).argmax(1) == y).float().mean()) for part in (x, moved))
        accuracy[epsilon] = np.round([*scores], 3)
    (clean, fooled), (hardened_clean, hardened) = accuracy[0.0], accuracy[EPSILON]
    assert hardened > fooled + 0.2
    assert hardened_clean > clean - 0.03
