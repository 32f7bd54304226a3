"""A fit learns, is reproducible to the byte, and leaves its caller's network, random numbers and settings unchanged."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.core.errors import UserError
from tasks.training import trainer
from tests.support.tiny_fits import QUICK, accuracy, fingerprint, fit, images, network, objective


def test_a_fit_learns_and_does_not_change_the_network_it_starts_from() -> None:
    start = network()
    before = fingerprint(start)
    result = trainer.fit(
        start,
        *images(),
        objective=objective,
        training=replace(QUICK, epochs=12, learning_rate=0.03),
        validation=images(96, seed=1),
        monitor=accuracy,
    )
    assert fingerprint(start) == before
    assert result.curves[result.best_epoch - 1]["validation_accuracy"] > 0.9
    assert result.epochs == 12
    assert result.steps == 12 * 6
    outputs = trainer.predict(result.network, images(96, seed=1)[0])
    assert accuracy(outputs, images(96, seed=1)[1])["accuracy"] == result.curves[result.best_epoch - 1]["validation_accuracy"]


def test_the_same_call_gives_the_same_bytes_and_another_seed_gives_others() -> None:
    torch.manual_seed(1)
    first = fit()
    torch.manual_seed(2)
    assert fingerprint(fit().network) == fingerprint(first.network)
    assert fingerprint(fit(replace(QUICK, seed=8)).network) != fingerprint(first.network)


def test_a_fit_restores_the_callers_random_numbers_and_settings() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    start = network()
    torch.manual_seed(3)
    trainer.fit(start, *images(), objective=objective, training=replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


class RecordsModes(nn.Module):
    """Records the mode of each training step."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.modes: list[Any] = []

    def __deepcopy__(self, memory: Any) -> Any:
        copy = RecordsModes()
        copy.load_state_dict(self.state_dict())
        copy.modes = self.modes
        return copy

    def forward(self, x: Any) -> Any:
        if torch.is_grad_enabled():
            self.modes.append(self.training)
        return self.head(x)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_validation_does_not_change_the_mode_of_training(decay: Any) -> None:
    rows = np.ones((64, 4), np.float32), np.zeros(64, np.int64)
    start = RecordsModes()
    trainer.fit(start, *rows, objective=objective, training=replace(QUICK, ema_decay=decay), validation=rows)
    assert start.modes == [True] * 6, "dropout and batch statistics stay on after the first epoch"


def test_augmentation_changes_train_rows_only_and_reproducibly() -> None:
    def augment(x: Any, uniforms: Any) -> Any:
        assert uniforms.shape == (len(x), trainer.UNIFORMS)
        return x.float() + 5 * uniforms[:, :1, None, None]

    options = {"validation": images(32, seed=1), "monitor": accuracy}
    one, two = (fit(augmentation=augment, **options) for _ in range(2))
    assert fingerprint(one.network) == fingerprint(two.network) != fingerprint(fit(**options).network)
    assert trainer.predict(one.network, images(32, seed=1)[0]).shape == (32, 3)


def test_a_memory_mapped_file_gives_the_same_bytes_as_memory(tmp_path: Path) -> None:
    x, y = images()
    np.save(tmp_path / "inputs.npy", x)
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    result = trainer.fit(network(), mapped, y, objective=objective, training=QUICK)
    assert fingerprint(result.network) == fingerprint(fit().network)


def test_unequal_or_empty_arrays_are_refused() -> None:
    with pytest.raises(UserError, match="3 inputs and 2 targets"):
        trainer.fit(network(), images(3)[0], np.zeros(2, np.int64), objective=objective, training=QUICK)


def test_the_event_log_has_every_step_and_epoch() -> None:
    events: list[Any] = []
    event_log = SimpleNamespace(
        progress=lambda done, total, unit: events.append((done, total, unit)),
        metric=lambda step, **values: events.append((step, sorted(values))),
        log=lambda message, level="info": events.append((level, message)),
    )
    fit(event_log=event_log, validation=images(8, 1), monitor=accuracy)
    assert events[0] == ("info", "computes on cpu in fp32: set by training.precision")
    assert (18, 18, "steps") in events
    assert (3, ["learning_rate", "loss", "validation_accuracy", "validation_loss"]) in events
