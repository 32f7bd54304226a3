"""The unit of a latency is the process: medians, ratios and intervals over processes, with processes of known times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.evaluation import latency, timing_process
from tasks.evaluation.latency import Variant

ROWS = np.zeros((2, 1), np.float32)
EAGER = Variant(name="eager PyTorch", runtime="eager", path=Path())
DENSE, OWN = (Variant(name=name, runtime="onnx", path=Path()) for name in ("dense", "int8"))

Times = Callable[[str, int, int], float]
"""The milliseconds of a call by variant, number of the process and number of the call."""


class KnownTimes:
    """A process whose calls take known times."""

    def __init__(self, name: str, number: int, times: Times, calls: list[str]) -> None:
        self.name, self.number, self.times, self.calls, self.done = name, number, times, calls, 0

    def wait(self) -> None:
        self.calls.append(f"wait {self.name}")

    def load(self) -> None:
        self.calls.append(f"load {self.name}")

    def warm_up(self, batch: int) -> int:
        return 1

    def time(self, batch: int, runs: int) -> list[float]:
        self.done += 1
        if batch == 1:
            self.calls.append(self.name)
        return [self.times(self.name, self.number, self.done)] * runs

    def end(self) -> dict[str, Any]:
        return {"load_s": 1.0 + self.number, "peak_memory_bytes": 100 + self.number, "model_memory_bytes": 10}


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`measure(times, *variants)` with such processes: the results, and the calls in their order."""

    def run(times: Times, *variants: Variant) -> tuple[Any, list[str]]:
        started: dict[str, int] = {}
        calls: list[str] = []

        @contextmanager
        def start(variant: Variant, rows_path: Path, threads: int) -> Iterator[KnownTimes]:
            number = started[variant.name] = started.get(variant.name, -1) + 1
            yield KnownTimes(variant.name, number, times, calls)

        monkeypatch.setattr(timing_process, "start", start)
        return latency.measure(variants, ROWS, tmp_path, base="dense"), calls

    return run


def test_every_repetition_has_fresh_processes_and_eager_every_second_one(measure: Any) -> None:
    results, _ = measure(lambda name, number, call: 1.0 + number, EAGER, DENSE, OWN)
    variants = results["variants"]
    assert results["processes"] == 6
    assert variants["int8"]["batches"]["1"]["process_medians_ms"] == [1, 2, 3, 4, 5, 6]
    assert variants["eager PyTorch"]["batches"]["1"]["process_medians_ms"] == [1, 2, 3]
    assert variants["int8"]["speedup_over"]["dense"]["1"]["process_ratios"] == [1] * 6
    assert variants["int8"]["speedup_over"]["eager PyTorch"]["1"]["process_ratios"] == [1, 2 / 3, 3 / 5]


def test_the_order_of_a_round_rotates_and_models_load_after_all_runtimes_are_imported(measure: Any) -> None:
    _, calls = measure(lambda name, number, call: 1.0, DENSE, OWN)
    assert calls[:10] == [
        *("wait dense", "wait int8", "load dense", "load int8"),
        *("dense", "int8", "int8", "dense", "dense", "int8"),
    ]


def test_a_process_that_is_slower_as_a_whole_widens_the_interval_though_its_rounds_agree(measure: Any) -> None:
    steady, _ = measure(lambda name, number, call: 2.0 if name == "dense" else 1.0, DENSE, OWN)
    speeds = [1.0, 1.0, 1.6, 1.0, 1.6, 1.0]
    jumpy, _ = measure(lambda name, number, call: 2.0 if name == "dense" else speeds[number], DENSE, OWN)
    same, other = (each["variants"]["int8"] for each in (steady, jumpy))
    assert same["speedup_over"]["dense"]["1"]["at_least"] == pytest.approx(2.0)
    speedup = other["speedup_over"]["dense"]["1"]
    assert speedup["process_ratios"] == [2, 2, 1.25, 2, 1.25, 2]
    assert speedup["ratio"] == pytest.approx((2**4 * 1.25**2) ** (1 / 6))
    assert speedup["low"] < speedup["at_least"] < speedup["ratio"] < speedup["high"]
    assert other["batches"]["1"]["median_ms"] == 1.0
    assert other["batches"]["1"]["low_ms"] < 1.0 < other["batches"]["1"]["high_ms"]


def test_the_times_of_a_whole_round_cancel_out_of_a_ratio(measure: Any) -> None:
    results, _ = measure(lambda name, number, call: (call // 2 + 1) * (3.0 if name == "dense" else 1.0), DENSE, OWN)
    speedup = results["variants"]["int8"]["speedup_over"]["dense"]["1"]
    assert (speedup["ratio"], speedup["verdict"]) == (pytest.approx(3.0), "faster")


def test_load_time_is_the_median_and_memory_the_largest_of_the_processes(measure: Any) -> None:
    results, _ = measure(lambda name, number, call: 1.0, DENSE)
    dense = results["variants"]["dense"]
    assert (dense["load_s"], dense["peak_memory_bytes"], dense["model_memory_bytes"]) == (3.5, 105, 10)


@pytest.mark.parametrize(("spread", "rounds"), [(0.0, 3), (2.0, 15)])
def test_a_repetition_continues_until_its_ratios_are_precise_or_the_maximum_is_reached(
    measure: Any, spread: float, rounds: int
) -> None:
    results, _ = measure(lambda name, number, call: 1.0 + spread * (call * 7 % 5) * (name == "int8"), DENSE, OWN)
    assert results["rounds"] == 6 * rounds
    assert len(results["variants"]["int8"]["batches"]["64"]["round_medians_ms"]) == 6 * rounds


def test_a_ratio_whose_interval_holds_1_is_no_gain() -> None:
    base, own = np.random.default_rng(0).normal(1, 0.05, (2, 6, 5)).tolist()
    assert latency.speedup(base, own)["verdict"] == "no real gain"


def test_the_median_of_six_processes_lies_within_its_interval() -> None:
    for seed in range(200):
        times = np.random.default_rng(seed).lognormal(0, 0.5, 6)
        one = latency.summary([[[each]] for each in times])
        assert one["low_ms"] < one["median_ms"] < one["high_ms"]
