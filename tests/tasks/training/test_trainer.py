"""The one training loop learns, is repeatable to the byte, survives a kill, and says so when it cannot go on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.models.vision.cnn import Cnn
from tasks.training import loop, optimizers, precision, trainer
from tasks.training.resume import Resume, State

ROOT = Path(__file__).parents[3]
QUICK = Training(epochs=3, batch_size=32, learning_rate=0.01, precision="fp32", device="cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pictures(count=192, seed=0):
    """Bars that lie, stand or slant, in noise, and which of the three they are."""
    numbers = np.random.default_rng(seed)
    targets = numbers.integers(0, 3, count)
    x = numbers.integers(0, 90, (count, 1, 12, 12))
    at = np.arange(12)
    for row, (kind, place) in enumerate(zip(targets, numbers.integers(1, 11, count), strict=True)):
        where = [(np.full(12, place), at), (at, np.full(12, place)), (at, (at + place) % 12)][kind]
        x[row, 0, where[0], where[1]] = 230
    return x.astype(np.uint8), targets.astype(np.int64)


def network(seed=0):
    torch.manual_seed(seed)
    return Cnn(side=12, classes=3, widths=[8, 16, 16, 16, 16], mean=[0.2], std=[0.25])


def objective(model, x, y):
    return functional.cross_entropy(model(x).float(), y)


def accuracy(outputs, targets):
    return {"accuracy": float((outputs.argmax(1) == targets).mean())}


def fitted(training=QUICK, **more):
    return trainer.fit(network(), *pictures(), objective=objective, training=training, **more)


def fingerprint(model):
    return sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values())).hexdigest()


def test_it_learns_and_leaves_the_network_it_was_given_alone():
    given = network()
    before = fingerprint(given)
    found = trainer.fit(
        given,
        *pictures(),
        objective=objective,
        training=replace(QUICK, epochs=12, learning_rate=0.03),
        validation=pictures(96, seed=1),
        monitor=accuracy,
    )
    assert fingerprint(given) == before
    assert found.curves[found.best_epoch - 1]["validation_accuracy"] > 0.9
    assert found.epochs == 12
    assert found.steps == 12 * 6
    outputs = trainer.predict(found.network, pictures(96, seed=1)[0])
    assert accuracy(outputs, pictures(96, seed=1)[1])["accuracy"] == found.curves[found.best_epoch - 1]["validation_accuracy"]


RATES = {"sgd": 0.5, "nesterov": 0.5, "adam": 0.03, "adamw": 0.03, "adagrad": 0.1, "adafactor": 0.1, "muon": 0.03}


@pytest.mark.parametrize("name", RATES)
def test_every_optimizer_brings_the_loss_down(name):
    curves = fitted(replace(QUICK, optimizer=name, learning_rate=RATES[name], epochs=12)).curves
    assert curves[-1]["loss"] < 0.5 * curves[0]["loss"]


def test_every_optimizer_that_can_be_asked_for_is_tried():
    assert set(RATES) == set(get_args(get_type_hints(Training)["optimizer"]))


def test_the_same_call_gives_the_same_bytes_and_another_seed_gives_others():
    torch.manual_seed(1)
    first = fitted()
    torch.manual_seed(2)
    assert fingerprint(fitted().network) == fingerprint(first.network)
    assert fingerprint(fitted(replace(QUICK, seed=8)).network) != fingerprint(first.network)


def test_a_fit_leaves_the_callers_random_numbers_and_switches_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(3)
    given = network()
    torch.manual_seed(3)
    trainer.fit(given, *pictures(), objective=objective, training=replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_every_row_is_seen_once_an_epoch_and_no_batch_is_a_stub():
    seen = []

    def watching(model, x, y):
        if torch.is_grad_enabled():
            seen.append(x[:, 0, 0, 0].tolist())
        return objective(model, x, y)

    x = np.zeros((65, 1, 12, 12), np.uint8)
    x[:, 0, 0, 0] = np.arange(65)
    trainer.fit(network(), x, np.zeros(65, np.int64), objective=watching, training=replace(QUICK, epochs=2))
    assert [len(batch) for batch in seen] == [21, 22, 22] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(65))
    assert seen[:3] != seen[3:]


class Watched(nn.Module):
    """Says in which mode it learns."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.modes = []

    def __deepcopy__(self, memory):
        twin = Watched()
        twin.load_state_dict(self.state_dict())
        twin.modes = self.modes
        return twin

    def forward(self, x):
        if torch.is_grad_enabled():
            self.modes.append(self.training)
        return self.head(x)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_look_at_the_validation_rows_does_not_change_how_it_learns(decay):
    rows = np.ones((64, 4), np.float32), np.zeros(64, np.int64)
    given = Watched()
    trainer.fit(given, *rows, objective=objective, training=replace(QUICK, ema_decay=decay), validation=rows)
    assert given.modes == [True] * 6, "dropout and batch statistics stay on after the first epoch"


def test_a_policy_varies_train_rows_only_and_reproducibly():
    def policy(x, uniforms):
        assert uniforms.shape == (len(x), trainer.UNIFORMS)
        return x.float() + 5 * uniforms[:, :1, None, None]

    kept = {"validation": pictures(32, seed=1), "monitor": accuracy}
    one, two = (fitted(policy=policy, **kept) for _ in range(2))
    assert fingerprint(one.network) == fingerprint(two.network) != fingerprint(fitted(**kept).network)
    assert trainer.predict(one.network, pictures(32, seed=1)[0]).shape == (32, 3)


def test_a_memory_mapped_file_gives_the_same_bytes_as_memory(tmp_path):
    x, y = pictures()
    np.save(tmp_path / "inputs.npy", x)
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    found = trainer.fit(network(), mapped, y, objective=objective, training=QUICK)
    assert fingerprint(found.network) == fingerprint(fitted().network)


def test_gradients_of_accumulated_batches_are_those_of_one_large_batch():
    torch.manual_seed(0)
    linear = nn.Linear(5, 3)
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    y = np.arange(64) % 3
    training = replace(QUICK, optimizer="sgd", epochs=2)
    whole = trainer.fit(linear, x, y, objective=objective, training=replace(training, batch_size=64))
    parts = trainer.fit(linear, x, y, objective=objective, training=replace(training, batch_size=16, accumulate=4))
    assert parts.steps == whole.steps == 2
    torch.testing.assert_close(parts.network.weight, whole.network.weight)


def test_mixup_blends_rows_and_still_learns():
    curves = fitted(replace(QUICK, mixup=0.4, epochs=6), validation=pictures(96, 1), monitor=accuracy).curves
    assert curves[-1]["validation_loss"] < curves[0]["validation_loss"]


def test_the_average_of_the_weights_is_what_is_kept():
    plain, averaged = fitted().network, fitted(replace(QUICK, ema_decay=0.9)).network
    assert fingerprint(plain) != fingerprint(averaged)
    assert sum(t.isfinite().all().item() for t in averaged.state_dict().values()) == len(averaged.state_dict())


def test_clipping_bounds_the_step():
    start = network()
    moved = [
        (found.network.head.weight - start.head.weight).norm()
        for found in (fitted(replace(QUICK, optimizer="sgd", epochs=1, clip_norm=clip)) for clip in (0.01, 0.0))
    ]
    assert moved[0] < 0.2 * moved[1]


@pytest.mark.parametrize(
    ("schedule", "shares"), [("constant", [0.5, 1, 1, 1]), ("one_cycle", [0.5, 1, 0.5, 0]), ("cosine", [0.5, 1, 0.5, 0])]
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule, shares):
    training = replace(QUICK, schedule=schedule, warmup_share=0.2)
    assert [optimizers.schedule(training, done) for done in (0.1, 0.2, 0.6, 1.0)] == pytest.approx(shares)


def scripted(scores):
    """A monitor that says these scores, epoch by epoch."""
    left = iter(scores)
    return lambda outputs, targets: {"score": next(left)}


def test_of_equal_epochs_the_latest_is_kept_and_a_lower_score_may_be_the_better():
    held = pictures(8, seed=1)
    assert fitted(validation=held, monitor=scripted([0.5, 0.9, 0.9])).best_epoch == 3
    assert fitted(validation=held, monitor=scripted([0.5, 0.9, 0.8])).best_epoch == 2
    assert fitted(validation=held, monitor=scripted([0.5, 0.9, 0.8]), higher_is_better=False).best_epoch == 1


def test_the_latest_epoch_within_one_standard_error_of_the_best_is_kept():
    found = fitted(
        replace(QUICK, epochs=4), validation=pictures(8, 1), monitor=scripted([0.5, 0.9, 0.88, 0.86]), error=lambda _: 0.03
    )
    assert found.best_epoch == 3


def test_the_weights_kept_are_those_of_the_epoch_that_is_named():
    held = pictures(8, seed=1)
    kept = fitted(replace(QUICK, schedule="constant"), validation=held, monitor=scripted([0.5, 0.9, 0.8])).network
    two = fitted(replace(QUICK, schedule="constant", epochs=2, warmup_share=0.3), validation=held, monitor=scripted([0.5, 0.9]))
    assert fingerprint(kept) == fingerprint(two.network)


def test_patience_stops_when_nothing_gets_better():
    found = fitted(replace(QUICK, epochs=9, patience=2), validation=pictures(8, 1), monitor=scripted([0.1, 0.8, 0.7, 0.6, 0.9]))
    assert found.epochs == 4
    assert found.best_epoch == 2


def test_a_loss_that_is_not_finite_stops_at_its_step_with_one_line():
    def poisoned(model, x, y):
        return objective(model, x, y) * (float("nan") if watch.append(0) or len(watch) == 9 else 1.0)

    watch: list[int] = []
    with pytest.raises(UserError, match=r"the loss became nan in epoch 2, step 9; lower training\.learning_rate \(now 0\.01\)"):
        trainer.fit(network(), *pictures(), objective=poisoned, training=QUICK)
    assert len(watch) == 9


def test_a_learning_rate_far_too_high_is_caught_too():
    with pytest.raises(UserError, match="the loss became"):
        trainer.fit(nn.Linear(4, 1), np.ones((64, 4), np.float32) * 1e4, np.ones((64, 1), np.float32),
                objective=lambda model, x, y: (model(x) - y).square().mean(),
                training=replace(QUICK, optimizer="sgd", learning_rate=10.0, epochs=30))  # fmt: skip


def test_unequal_or_empty_arrays_are_refused():
    with pytest.raises(UserError, match="3 inputs and 2 targets"):
        trainer.fit(network(), pictures(3)[0], np.zeros(2, np.int64), objective=objective, training=QUICK)


CHILD = """
import sys
sys.path.insert(0, {root!r})
from tests.tasks.training import test_trainer
from pathlib import Path
test_trainer.loop.CHECKPOINT_S = 0.0
training = test_trainer.replace(test_trainer.QUICK, epochs=6, optimizer="muon", ema_decay=0.9, precision={precision!r})
policy = lambda x, u: x.float() + 5 * u[:, :1, None, None]
found = test_trainer.fitted(training, validation=test_trainer.pictures(32, 1), monitor=test_trainer.accuracy, policy=policy,
                        checkpoint=Path({folder!r}))
print(test_trainer.fingerprint(found.network), found.curves)
"""


def child(folder, number_format="fp32"):
    code = CHILD.format(root=str(ROOT), folder=str(folder), precision=number_format)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_killed_fit_goes_on_and_ends_with_the_same_bytes(tmp_path):
    undisturbed = child(tmp_path / "a")
    killed = child(tmp_path / "b")
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "b").glob("*/*-*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    steps = [int(path.name.partition("-")[0]) for path in (tmp_path / "b").glob("*/*-*.safetensors")]
    assert 0 < max(steps) < 36
    resumed = child(tmp_path / "b")
    assert resumed.communicate(timeout=200)[0] == undisturbed.communicate(timeout=200)[0] != ""


TORCHRUN = """
import json, os, sys
sys.path.insert(0, {root!r})
from tests.tasks.training import test_trainer
from pathlib import Path
training = test_trainer.replace(test_trainer.QUICK, epochs=8, batch_size=32, accumulate={accumulate}, patience={patience})
folder = Path({folder!r})
found = test_trainer.fitted(training, validation=test_trainer.pictures(96, 1), monitor=test_trainer.accuracy, checkpoint=folder)
print(json.dumps([os.environ.get("RANK"), found.curves[found.best_epoch - 1]["validation_accuracy"], found.steps]))
"""


@pytest.mark.slow
def test_two_processes_fit_as_well_as_one(tmp_path):
    one = fitted(replace(QUICK, epochs=8, batch_size=32), validation=pictures(96, 1), monitor=accuracy)
    body = TORCHRUN.format(root=str(ROOT), accumulate=1, patience=0, folder=str(tmp_path / "kept"))
    (tmp_path / "together.py").write_text(body)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(tmp_path / "together.py"),
    ]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    said = sorted(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert [rank for rank, *_ in said] == ["0", "1"]
    assert said[0][1:] == said[1][1:], "all of them know what the first one decides"
    assert said[0][1] >= one.curves[one.best_epoch - 1]["validation_accuracy"] - 0.05
    assert said[0][2] == one.steps
    assert list((tmp_path / "kept").glob("*/*.safetensors"))


def stopping(after):
    """An objective that falls over after so many calls, as a machine might."""
    calls = []

    def call(model, x, y):
        calls.append(0)
        if len(calls) > after:
            raise RuntimeError("out of electricity")
        return objective(model, x, y)

    return call


@pytest.mark.parametrize("name", ["nesterov", "adamw", "adagrad", "adafactor", "muon"])
def test_the_state_of_every_optimizer_is_kept(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)
    training = replace(QUICK, optimizer=name, epochs=2, mixup=0.2)
    undisturbed = fitted(training)
    with pytest.raises(RuntimeError, match="out of electricity"):
        trainer.fit(network(), *pictures(), objective=stopping(15), training=training, checkpoint=tmp_path)
    assert fingerprint(fitted(training, checkpoint=tmp_path).network) == fingerprint(undisturbed.network)


def test_a_finished_fit_is_not_done_again(tmp_path):
    first = fitted(checkpoint=tmp_path)
    again = trainer.fit(network(), *pictures(), objective=stopping(0), training=QUICK, checkpoint=tmp_path)
    assert fingerprint(again.network) == fingerprint(first.network)
    assert again.curves == first.curves


def test_a_state_of_another_fit_is_not_used(tmp_path):
    fitted(checkpoint=tmp_path)
    other = replace(QUICK, seed=8)
    assert fingerprint(fitted(other, checkpoint=tmp_path).network) == fingerprint(fitted(other).network)


def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path):
    resume = Resume(tmp_path)
    for step in (1, 2, 3):
        resume.write(State(step, {"weight": torch.full((2,), float(step))}, {"note": step}))
    files = sorted(tmp_path.iterdir())
    assert [int(path.name[:10]) for path in files] == [2, 3]
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    state, faults = resume.read()
    assert state is not None
    assert (state.step, state.values["note"], state.tensors["weight"].tolist()) == (2, 2, [2.0, 2.0])
    assert "damaged" in faults[0]


def test_steps_of_muon_are_nearly_orthogonal_whatever_the_shape():
    torch.manual_seed(0)
    for shape in ((16, 16), (8, 40), (40, 8)):
        values = torch.linalg.svdvals(optimizers.orthogonal(torch.randn(shape), 5))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_moves_hidden_matrices_and_leaves_the_rest_to_adamw():
    muon, adamw = optimizers.build("muon", network(), 0.01, 0.1)
    assert [weight.ndim for group in muon.param_groups for weight in group["params"]] == [4] * 5
    decays = {group["weight_decay"]: [weight.ndim for weight in group["params"]] for group in adamw.param_groups}
    assert decays == {0.1: [2], 0.0: [1] * 6}
    text = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    (hidden,) = optimizers.hidden_matrices(text)
    assert hidden is text[1].weight


def test_bf16_computes_nearly_the_same_as_fp32():
    one, two = (fitted(replace(QUICK, precision=name, epochs=6)) for name in ("fp32", "bf16"))
    assert two.plan.precision == "bf16"
    assert two.curves[-1]["loss"] == pytest.approx(one.curves[-1]["loss"], abs=0.15)
    assert all(weight.dtype == torch.float32 for weight in two.network.parameters())


def probe(monkeypatch, speedup):
    monkeypatch.setattr(precision, "_bf16_speedup", lambda *_: speedup)
    return precision.plan(network(), torch.from_numpy(pictures(32)[0]), replace(QUICK, precision="auto"))


def test_bf16_is_taken_on_a_cpu_only_where_it_clearly_pays_and_the_answer_is_kept(monkeypatch):
    assert probe(monkeypatch, 1.29).precision == "fp32"
    assert probe(monkeypatch, 5.0).precision == "fp32"  # the first answer stands


def test_a_kept_answer_that_is_not_whole_is_asked_again(monkeypatch, tmp_path):
    assert probe(monkeypatch, 1.31).precision == "bf16"
    (kept,) = (tmp_path / "cache" / "bonsai" / "precision").glob("*.json")
    kept.write_text(kept.read_text()[:9])
    assert probe(monkeypatch, 1.0).precision == "fp32"
    assert json.loads(kept.read_text())["speedup"] == 1.0


def test_the_probe_times_both_formats_and_changes_nothing():
    given = network()
    before = fingerprint(given)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    chosen = precision.plan(given, torch.from_numpy(pictures(32)[0]), replace(QUICK, precision="auto"))
    assert torch.equal(torch.rand(2), expected)
    assert fingerprint(given) == before
    assert "times as fast as fp32 here" in chosen.reason
    assert chosen.channels_last


@pytest.mark.parametrize(
    ("wish", "said"), [({"precision": "fp16"}, "needs a CUDA device"), ({"device": "cuda"}, "sees no CUDA device")]
)
def test_what_this_machine_cannot_do_is_refused(wish, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=said):
        fitted(replace(QUICK, **wish))


def test_the_journal_hears_of_every_step_and_epoch():
    heard = []
    event_log = SimpleNamespace(
        progress=lambda done, total, unit: heard.append((done, total, unit)),
        metric=lambda step, **values: heard.append((step, sorted(values))),
        log=lambda message, level="info": heard.append((level, message)),
    )
    fitted(event_log=event_log, validation=pictures(8, 1), monitor=accuracy)
    assert heard[0] == ("info", "computes on cpu in fp32: as asked")
    assert (18, 18, "steps") in heard
    assert (3, ["learning_rate", "loss", "validation_accuracy", "validation_loss"]) in heard
