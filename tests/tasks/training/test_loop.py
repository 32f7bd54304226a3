"""The steps of a fit: accumulation, mixup, averaging, clipping, and the choice of the epoch that is kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.core.errors import UserError
from tasks.training import trainer
from tasks.training.validation import Validator
from tests.support.tiny_fits import QUICK, accuracy, fingerprint, fit, images, network, objective


def test_gradients_of_accumulated_batches_are_those_of_one_large_batch() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(5, 3)
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    y = np.arange(64) % 3
    training = replace(QUICK, optimizer="sgd", epochs=2)
    single = trainer.fit(linear, x, y, objective=objective, training=replace(training, batch_size=64))
    accumulated = trainer.fit(linear, x, y, objective=objective, training=replace(training, batch_size=16, accumulate=4))
    assert accumulated.steps == single.steps == 2
    torch.testing.assert_close(accumulated.network.weight, single.network.weight)


def test_mixup_trains() -> None:
    curves = fit(replace(QUICK, mixup=0.4, epochs=6), validation=images(96, 1), monitor=accuracy).curves
    assert curves[-1]["validation_loss"] < curves[0]["validation_loss"]


def test_the_average_of_the_weights_is_what_is_kept() -> None:
    plain, averaged = fit().network, fit(replace(QUICK, ema_decay=0.9)).network
    assert fingerprint(plain) != fingerprint(averaged)
    assert sum(t.isfinite().all().item() for t in averaged.state_dict().values()) == len(averaged.state_dict())


def test_gradient_clipping_bounds_the_step() -> None:
    start = network()
    moved = [
        (result.network.head.weight - start.head.weight).norm()
        for result in (fit(replace(QUICK, optimizer="sgd", epochs=1, clip_norm=clip)) for clip in (0.01, 0.0))
    ]
    assert moved[0] < 0.2 * moved[1]


def scripted(scores: Any) -> Any:
    """A monitor that returns these scores, one per epoch."""
    remaining = iter(scores)
    return lambda outputs, targets: {"score": next(remaining)}


def test_of_epochs_that_hardly_differ_none_with_a_much_higher_loss_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(scores: Any, losses: Any) -> Any:
        remaining = iter(losses)
        monkeypatch.setattr(Validator, "outputs", lambda *_: (np.zeros((8, 3), np.float32), next(remaining)))
        training = replace(QUICK, epochs=len(losses))
        options: dict[str, Any] = {"monitor": scripted(scores), "standard_error": lambda outputs: 0.05}
        return fit(training, validation=images(8, seed=1), **options).best_epoch

    assert kept([0.80, 0.90, 0.91], [0.5, 0.4, 1.07]) == 2, "one row more is right, and the loss is that of guessing"
    assert kept([0.80, 0.90, 0.90], [0.5, 0.4, 0.43]) == 3, "the latest of equals"
    assert kept([0.80, 0.90, 0.96], [0.5, 0.4, 1.07]) == 3, "a score that is clearly higher decides"


def test_of_equal_epochs_the_latest_is_kept_and_a_lower_score_may_be_the_better() -> None:
    validation = images(8, seed=1)
    assert fit(validation=validation, monitor=scripted([0.5, 0.9, 0.9])).best_epoch == 3
    assert fit(validation=validation, monitor=scripted([0.5, 0.9, 0.8])).best_epoch == 2
    assert fit(validation=validation, monitor=scripted([0.5, 0.9, 0.8]), higher_is_better=False).best_epoch == 1


def test_the_latest_epoch_within_one_standard_error_of_the_best_is_kept() -> None:
    result = fit(
        replace(QUICK, epochs=4),
        validation=images(8, 1),
        monitor=scripted([0.5, 0.9, 0.88, 0.86]),
        standard_error=lambda _: 0.03,
    )
    assert result.best_epoch == 3


def test_the_weights_kept_are_those_of_the_best_epoch() -> None:
    validation = images(8, seed=1)
    kept = fit(replace(QUICK, schedule="constant"), validation=validation, monitor=scripted([0.5, 0.9, 0.8])).network
    two = fit(
        replace(QUICK, schedule="constant", epochs=2, warmup_share=0.3),
        validation=validation,
        monitor=scripted([0.5, 0.9]),
    )
    assert fingerprint(kept) == fingerprint(two.network)


def test_patience_stops_when_the_score_no_longer_improves() -> None:
    result = fit(replace(QUICK, epochs=9, patience=2), validation=images(8, 1), monitor=scripted([0.1, 0.8, 0.7, 0.6, 0.9]))
    assert result.epochs == 4
    assert result.best_epoch == 2


def test_a_loss_that_is_not_finite_stops_at_its_step_with_one_line() -> None:
    def poisoned(model: Any, x: Any, y: Any) -> Any:
        calls.append(0)
        return objective(model, x, y) * (float("nan") if len(calls) == 9 else 1.0)

    calls: list[int] = []
    with pytest.raises(UserError, match=r"the loss became nan in epoch 2, step 9; lower training\.learning_rate \(now 0\.01\)"):
        trainer.fit(network(), *images(), objective=poisoned, training=QUICK)
    assert len(calls) == 9


def test_a_learning_rate_far_too_high_is_reported_too() -> None:
    with pytest.raises(UserError, match="the loss became"):
        trainer.fit(nn.Linear(4, 1), np.ones((64, 4), np.float32) * 1e4, np.ones((64, 1), np.float32),
                objective=lambda model, x, y: (model(x) - y).square().mean(),
                training=replace(QUICK, optimizer="sgd", learning_rate=10.0, epochs=30))  # fmt: skip


def test_every_row_is_trained_on_once_an_epoch_in_batches_of_even_size() -> None:
    batches = []

    def recording(model: Any, x: Any, y: Any) -> Any:
        if torch.is_grad_enabled():
            batches.append(x[:, 0, 0, 0].tolist())
        return objective(model, x, y)

    x = np.zeros((65, 1, 12, 12), np.uint8)
    x[:, 0, 0, 0] = np.arange(65)
    trainer.fit(network(), x, np.zeros(65, np.int64), objective=recording, training=replace(QUICK, epochs=2))
    assert [len(batch) for batch in batches] == [21, 22, 22] * 2
    for epoch in (batches[:3], batches[3:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(65))
    assert batches[:3] != batches[3:]


def test_balanced_sampling_draws_every_class_equally_often_however_rare() -> None:
    drawn: list[int] = []

    def record(run: Any, x: Any, y: Any) -> Any:
        drawn.extend(y.tolist())
        return nn.functional.cross_entropy(run(x), y)

    x, y = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32), np.array([0] * 380 + [1] * 20)
    trainer.fit(nn.Linear(5, 2), x, y, objective=record, training=replace(QUICK, balanced_sampling=True, epochs=3))
    assert len(drawn) == 1200
    assert 0.45 < np.mean(drawn) < 0.55


def test_balanced_sampling_needs_one_class_a_row() -> None:
    x, y = np.zeros((8, 5), np.float32), np.zeros((8, 2), np.float32)
    with pytest.raises(UserError, match="balanced_sampling needs one class per row"):
        trainer.fit(nn.Linear(5, 2), x, y, objective=objective, training=replace(QUICK, balanced_sampling=True))
