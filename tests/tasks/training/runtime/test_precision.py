"""The number format of a fit: measured once on a CPU, cached, and refused where the machine does not have it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import UserError
from tasks.training.runtime import precision
from tests.support.tiny_fits import QUICK, fingerprint, fit, images, network


def test_bf16_computes_nearly_the_same_as_fp32() -> None:
    one, two = (fit(replace(QUICK, precision=name, epochs=6)) for name in ("fp32", "bf16"))
    assert two.plan.precision == "bf16"
    assert two.curves[-1]["loss"] == pytest.approx(one.curves[-1]["loss"], abs=0.15)
    assert all(weight.dtype == torch.float32 for weight in two.network.parameters())


def plan_with_speedup(monkeypatch: pytest.MonkeyPatch, speedup: Any) -> Any:
    monkeypatch.setattr(precision, "_bf16_speedup", lambda *_: speedup)
    return precision.choose_plan(network(), torch.from_numpy(images(32)[0]), replace(QUICK, precision="auto"))


def test_bf16_is_chosen_on_a_cpu_only_from_a_clear_speedup_and_the_choice_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_with_speedup(monkeypatch, 1.29).precision == "fp32"
    assert plan_with_speedup(monkeypatch, 5.0).precision == "fp32"  # the cached speedup is used


def test_a_damaged_cache_file_is_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert plan_with_speedup(monkeypatch, 1.31).precision == "bf16"
    (cached,) = (tmp_path / "cache" / "bonsai" / "precision").glob("*.json")
    cached.write_text(cached.read_text()[:9])
    assert plan_with_speedup(monkeypatch, 1.0).precision == "fp32"
    assert json.loads(cached.read_text())["speedup"] == 1.0


def test_measuring_the_speedup_changes_neither_the_network_nor_the_random_numbers() -> None:
    start = network()
    before = fingerprint(start)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    plan = precision.choose_plan(start, torch.from_numpy(images(32)[0]), replace(QUICK, precision="auto"))
    assert torch.equal(torch.rand(2), expected)
    assert fingerprint(start) == before
    assert "times as fast as fp32 here" in plan.reason
    assert plan.channels_last


@pytest.mark.parametrize(
    ("setting", "message"), [({"precision": "fp16"}, "needs a CUDA device"), ({"device": "cuda"}, "sees no CUDA device")]
)
def test_a_device_or_format_that_the_machine_lacks_is_refused(
    setting: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        fit(replace(QUICK, **setting))
