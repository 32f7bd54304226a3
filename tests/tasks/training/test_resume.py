"""A killed fit resumes from its saved state and ends with the same bytes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.training import loop, trainer
from tasks.training.resume import FitState, FitStateStore
from tests.support.tiny_fits import QUICK, fingerprint, fit, images, network, objective

ROOT = Path(__file__).parents[3]


CHILD = """
import sys
sys.path.insert(0, {root!r})
from dataclasses import replace
from pathlib import Path
from tasks.training import loop
from tests.support import tiny_fits
loop.CHECKPOINT_S = 0.0
training = replace(tiny_fits.QUICK, epochs=6, optimizer="muon", ema_decay=0.9, precision={precision!r})
augment = lambda x, u: x.float() + 5 * u[:, :1, None, None]
result = tiny_fits.fit(training, validation=tiny_fits.images(32, 1), monitor=tiny_fits.accuracy, augmentation=augment,
                       checkpoint=Path({folder!r}))
print(tiny_fits.fingerprint(result.network), result.curves)
"""


def start_fit(folder: Any, precision: Any = "fp32") -> Any:
    code = CHILD.format(root=str(ROOT), folder=str(folder), precision=precision)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_killed_fit_resumes_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    uninterrupted = start_fit(tmp_path / "a")
    killed = start_fit(tmp_path / "b")
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "b").glob("*/*-*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    steps = [int(path.name.partition("-")[0]) for path in (tmp_path / "b").glob("*/*-*.safetensors")]
    assert 0 < max(steps) < 36
    resumed = start_fit(tmp_path / "b")
    assert resumed.communicate(timeout=200)[0] == uninterrupted.communicate(timeout=200)[0] != ""


def failing_objective(after: Any) -> Any:
    """An objective that raises after so many calls, as when a machine fails."""
    calls = []

    def call(model: Any, x: Any, y: Any) -> Any:
        calls.append(0)
        if len(calls) > after:
            raise RuntimeError("power failure")
        return objective(model, x, y)

    return call


@pytest.mark.parametrize("name", ["nesterov", "adamw", "adagrad", "adafactor", "muon"])
def test_the_state_of_every_optimizer_is_saved(name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)
    training = replace(QUICK, optimizer=name, epochs=2, mixup=0.2)
    uninterrupted = fit(training)
    with pytest.raises(RuntimeError, match="power failure"):
        trainer.fit(network(), *images(), objective=failing_objective(15), training=training, checkpoint=tmp_path)
    assert fingerprint(fit(training, checkpoint=tmp_path).network) == fingerprint(uninterrupted.network)


def test_a_finished_fit_is_not_repeated(tmp_path: Path) -> None:
    first = fit(checkpoint=tmp_path)
    again = trainer.fit(network(), *images(), objective=failing_objective(0), training=QUICK, checkpoint=tmp_path)
    assert fingerprint(again.network) == fingerprint(first.network)
    assert again.curves == first.curves


def test_a_state_of_another_fit_is_not_used(tmp_path: Path) -> None:
    fit(checkpoint=tmp_path)
    other = replace(QUICK, seed=8)
    assert fingerprint(fit(other, checkpoint=tmp_path).network) == fingerprint(fit(other).network)


def test_a_damaged_state_is_skipped_for_the_one_before(tmp_path: Path) -> None:
    store = FitStateStore(tmp_path)
    for step in (1, 2, 3):
        store.write(FitState(step, {"weight": torch.full((2,), float(step))}, {"note": step}))
    files = sorted(tmp_path.iterdir())
    assert [int(path.name[:10]) for path in files] == [2, 3]
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    state, errors = store.read()
    assert state is not None
    assert (state.step, state.values["note"], state.tensors["weight"].tolist()) == (2, 2, [2.0, 2.0])
    assert "damaged" in errors[0]


def test_checkpoints_that_take_long_to_write_are_farther_apart() -> None:
    assert loop.checkpoint_interval(0.01) == loop.CHECKPOINT_S
    assert loop.checkpoint_interval(2.0) == loop.CHECKPOINT_S * 8
