"""Latency and memory of model variants, each in fresh processes of its own, timed round by round in turn."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.core.hardware import cpu_model
from tasks.evaluation import statistics, timing_process

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import Array
    from tasks.evaluation.timing_process import TimingProcess

BATCHES = (1, 64)
PROCESSES = 6
"""Repetitions, each with fresh processes: where a process lies in memory changes its speed, and more rounds do not show that."""
EAGER_EVERY = 2
"""Every how many repetitions eager PyTorch is timed: its processes take seconds to start, and no contract depends on it."""
MIN_ROUNDS = 3
MAX_ROUNDS = 15
"""Timing of a repetition continues, `MIN_ROUNDS` at a time, until ratios to the base are as precise as `MAX_RELATIVE_WIDTH`."""
MAX_RELATIVE_WIDTH = 0.2
"""The width of a ratio's 95 % interval over the rounds of one process, as a share of the ratio.

The mean over six processes is about 2.4 times as precise. The rule looks at what contracts ask for, the speed-up over the base at
`DECIDING_BATCH`, but not at what a contract requires of it.
"""
DECIDING_BATCH = 1

Rounds = list[list[float]]
"""The milliseconds of each call, for each round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to time: an ONNX file in ONNX Runtime, or a checkpoint's network in eager PyTorch."""

    name: str
    runtime: Literal["onnx", "eager"]
    path: Path
    use_case: str = ""
    """The use case of a checkpoint's network; an ONNX file needs none."""
    inputs: Array | None = field(default=None, compare=False)
    """Its own encoded rows (N, ...), where it reads other inputs than the rest."""


@dataclass(slots=True)
class Repetition:
    """What fresh processes of the variants measured: the times per variant and batch, and each process's memory and load time."""

    rounds: dict[str, dict[int, Rounds]]
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def medians(self, name: str, batch: int) -> list[float]:
        """The median of each round, in ms."""
        return [median(times) for times in self.rounds[name][batch]]


def measure(
    variants: Sequence[Variant],
    inputs: Array,
    scratch: Path,
    *,
    base: str,
    threads: int = 1,
    event_log: EventLog | None = None,
) -> dict[str, Any]:
    """Wall-clock milliseconds of one call of each variant, at each batch size, with peak memory and load time.

    There are `PROCESSES` repetitions. In each, every variant has a fresh process with `threads` threads; after a warm-up, each of
    `MIN_ROUNDS` to `MAX_ROUNDS` rounds times all variants in rotating order, so that other load on the machine affects all alike.
    The ratios to the variant `base` decide when a repetition ends. `speedup_over` gives for each pair of variants the geometric
    mean over processes of the ratio of their times, with its 95 % interval. A list with one value per process is in the order in
    which they ran.
    """
    paths = {variant.name: scratch / f"latency-inputs-{number}.npy" for number, variant in enumerate(variants)}
    for variant in variants:
        own = inputs if variant.inputs is None else variant.inputs
        np.save(paths[variant.name], np.ascontiguousarray(np.resize(own, (max(BATCHES), *own.shape[1:]))))
    before = _machine_load()
    repetitions = []
    for number in range(PROCESSES):
        timed = [variant for variant in variants if variant.runtime != "eager" or number % EAGER_EVERY == 0]
        repetitions.append(_repetition(timed, paths, threads, number, base))
        if event_log:
            event_log.progress(number + 1, PROCESSES, "repetitions of timing")
    for path in paths.values():
        path.unlink()
    names = [variant.name for variant in variants]
    return {
        "machine": machine(),
        "threads": threads,
        "processes": PROCESSES,
        "rounds": sum(max(len(rounds[BATCHES[0]]) for rounds in each.rounds.values()) for each in repetitions),
        "load_before": before,
        "load_after": _machine_load(),
        "variants": {
            name: {
                **_costs([each.costs[name] for each in repetitions if name in each.costs]),
                "batches": {
                    str(batch): summary([each.rounds[name][batch] for each in repetitions if name in each.rounds])
                    for batch in BATCHES
                },
                "speedup_over": {
                    other: {str(batch): _speedup_over(repetitions, other, name, batch) for batch in BATCHES}
                    for other in names
                    if other != name
                },
            }
            for name in names
        },
    }


def _repetition(variants: Sequence[Variant], paths: Mapping[str, Path], threads: int, number: int, base: str) -> Repetition:
    """One repetition: start a process per variant, time them in turn until the ratios are precise, end the processes."""
    names = [variant.name for variant in variants]
    result = Repetition({name: {batch: [] for batch in BATCHES} for name in names})
    with _processes(variants, paths, threads) as processes:
        runs = {name: {batch: process.warm_up(batch) for batch in BATCHES} for name, process in processes.items()}
        done = 0
        while done % MIN_ROUNDS or not done or (done < MAX_ROUNDS and not _is_precise(result, base)):
            shift = (number + done) % len(names)
            for batch in BATCHES:
                for name in names[shift:] + names[:shift]:
                    result.rounds[name][batch].append(processes[name].time(batch, runs[name][batch]))
            done += 1
        result.costs = {name: process.end() for name, process in processes.items()}
    return result


@contextmanager
def _processes(variants: Sequence[Variant], paths: Mapping[str, Path], threads: int) -> Iterator[dict[str, TimingProcess]]:
    """A process per variant. They import their runtimes at the same time and load their models in turn."""
    with ExitStack() as stack:
        processes = {
            variant.name: stack.enter_context(timing_process.start(variant, paths[variant.name], threads)) for variant in variants
        }
        for process in processes.values():
            process.wait()
        for process in processes.values():
            process.load()
        yield processes


def machine() -> dict[str, Any]:
    """The hardware and software of the measurement."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "onnxruntime": version("onnxruntime"),
    }


def summary(processes: Sequence[Rounds]) -> dict[str, Any]:
    """The latency of one variant at one batch size, from the rounds of each process: the median over processes.

    The process is the unit: the interval is Student's t on the logarithms of one median per process.
    """
    every = np.concatenate([np.asarray(times) for rounds in processes for times in rounds])
    rounds = [[median(times) for times in process] for process in processes]
    medians = [median(process) for process in rounds]
    interval = statistics.log_t_interval(medians)
    return {
        "median_ms": median(medians),
        "low_ms": interval.low,
        "high_ms": interval.high,
        "p95_ms": float(np.quantile(every, 0.95)),
        "runs": len(every),
        "process_medians_ms": medians,
        "round_medians_ms": [each for process in rounds for each in process],
    }


def speedup(base: Sequence[Sequence[float]], own: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How many times as fast `own` is as `base`, from the medians of each round (R,) of each process (P,) of both.

    A process gives one ratio, the median over its rounds of base / own in the same round. `ratio` is the geometric mean over
    processes, `at_least` its one-sided 95 % lower bound.
    """
    ratios = [float(np.median(np.asarray(old) / np.asarray(new))) for old, new in zip(base, own, strict=True)]
    ratio, bound = statistics.log_t_interval(ratios), statistics.log_t_interval(ratios, statistics.one_sided())
    verdict = "no real gain" if ratio.low <= 1 <= ratio.high else "faster" if ratio.low > 1 else "slower"
    result = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "at_least": bound.low}
    return {**result, "process_ratios": ratios, "verdict": verdict}


def _speedup_over(repetitions: Sequence[Repetition], other: str, own: str, batch: int) -> dict[str, Any]:
    """The speed-up of `own` over `other` in the repetitions that timed both."""
    both = [each for each in repetitions if own in each.rounds and other in each.rounds]
    return speedup([each.medians(other, batch) for each in both], [each.medians(own, batch) for each in both])


def _costs(processes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median load time and the largest memory of a variant's processes."""
    memory = {name: max(each[name] for each in processes) for name in ("peak_memory_bytes", "model_memory_bytes")}
    return {"load_s": median(each["load_s"] for each in processes), **memory}


def _is_precise(repetition: Repetition, base: str) -> bool:
    """Whether the interval over rounds of every ratio to the base is at most `MAX_RELATIVE_WIDTH` wide."""
    dense = repetition.medians(base, DECIDING_BATCH)
    ratios = (
        statistics.ratio_interval(dense, repetition.medians(name, DECIDING_BATCH)) for name in repetition.rounds if name != base
    )
    return all(ratio.high - ratio.low <= MAX_RELATIVE_WIDTH * ratio.value for ratio in ratios)


def _machine_load() -> dict[str, float]:
    """The load average of the last minute, and the CPU steal time since boot in seconds."""
    path = Path("/proc/stat")
    steal = float(path.read_text(encoding="ascii").split()[8]) / os.sysconf("SC_CLK_TCK") if path.exists() else 0.0
    return {"load_1min": os.getloadavg()[0], "steal_s": steal}
