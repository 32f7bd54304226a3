"""Latency and memory of model variants, each in a process of its own, timed round by round in turn."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.core import onnx_model
from tasks.core.hardware import cpu_model
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from tasks.core.event_log import EventLog
    from tasks.core.use_case import Array

BATCHES = (1, 64)
MIN_ROUNDS = 15
MAX_ROUNDS = 90
"""Timing continues, `MIN_ROUNDS` at a time, until every ratio is as precise as `MAX_RELATIVE_WIDTH`: longer on a busy machine."""
MAX_RELATIVE_WIDTH = 0.1
"""The width of a ratio's 95 % interval as a share of the ratio. The stopping rule does not depend on the contract."""
BLOCK_S = 0.03
"""Approximate time of one variant in one round."""
WARMUP_S = 0.15
MIN_RUNS, MAX_RUNS = 3, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to time: an ONNX file in ONNX Runtime, or a checkpoint's network in eager PyTorch."""

    name: str
    runtime: Literal["onnx", "eager"]
    path: Path
    use_case: str = ""
    """The use case of a checkpoint's network; an ONNX file needs none."""


def measure(
    variants: Sequence[Variant], inputs: Array, scratch: Path, *, threads: int = 1, event_log: EventLog | None = None
) -> dict[str, Any]:
    """Wall-clock milliseconds of one call of each variant, at each batch size, with peak memory and load time.

    Each variant has a process with `threads` threads. After a warm-up, each of `MIN_ROUNDS` to `MAX_ROUNDS` rounds times all
    variants in rotating order, so that other load on the machine affects all alike. `speedup_over` gives for each pair of
    variants the median over rounds of the ratio of their times, with its 95 % interval.
    """
    rows = np.ascontiguousarray(np.resize(inputs, (max(BATCHES), *inputs.shape[1:])))
    rows_path = scratch / "latency-inputs.npy"
    np.save(rows_path, rows)
    before = _machine_load()
    with ExitStack() as stack:
        workers = {variant.name: stack.enter_context(_worker(variant, rows_path, threads)) for variant in variants}
        rounds = {name: {batch: [] for batch in BATCHES} for name in workers}  # type: dict[str, dict[int, list[list[float]]]]
        runs = {name: {batch: worker.warm_up(batch) for batch in BATCHES} for name, worker in workers.items()}
        names = list(workers)
        medians = {name: {batch: [] for batch in BATCHES} for name in workers}  # type: dict[str, dict[int, list[float]]]
        rounds_done = 0
        while rounds_done % MIN_ROUNDS or not rounds_done or (rounds_done < MAX_ROUNDS and not _is_precise(medians)):
            shift = rounds_done % len(names)
            for batch in BATCHES:
                for name in names[shift:] + names[:shift]:
                    rounds[name][batch].append(workers[name].time(batch, runs[name][batch]))
                    medians[name][batch].append(median(rounds[name][batch][-1]))
            rounds_done += 1
            if event_log:
                event_log.progress(rounds_done, max(MIN_ROUNDS, rounds_done), "rounds of timing")
        final = {name: worker.end() for name, worker in workers.items()}
    rows_path.unlink()
    return {
        "machine": machine(),
        "threads": threads,
        "rounds": rounds_done,
        "load_before": before,
        "load_after": _machine_load(),
        "variants": {
            name: {
                **final[name],
                "batches": {str(batch): _summary(rounds[name][batch], medians[name][batch]) for batch in BATCHES},
                "speedup_over": {
                    other: {str(batch): _speedup(medians[other][batch], medians[name][batch]) for batch in BATCHES}
                    for other in names
                    if other != name
                },
            }
            for name in names
        },
    }


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


def _summary(rounds: list[list[float]], medians: list[float]) -> dict[str, Any]:
    every = np.concatenate([np.asarray(times) for times in rounds])
    interval = statistics.median_interval(medians)
    return {
        "median_ms": interval.value,
        "low_ms": interval.low,
        "high_ms": interval.high,
        "p95_ms": float(np.quantile(every, 0.95)),
        "runs": len(every),
        "round_medians_ms": medians,
    }


def _speedup(base: list[float], own: list[float]) -> dict[str, Any]:
    ratio = statistics.ratio_interval(base, own)
    bound = statistics.ratio_interval(base, own, statistics.one_sided())
    verdict = "no real gain" if ratio.low <= 1 <= ratio.high else "faster" if ratio.low > 1 else "slower"
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "at_least": bound.low, "verdict": verdict}


def _is_precise(medians: Mapping[str, Mapping[int, list[float]]]) -> bool:
    """Whether the interval of every ratio of two variants is at most `MAX_RELATIVE_WIDTH` wide."""
    ratios = (
        statistics.ratio_interval(times, medians[second][batch])
        for first, second in combinations(medians, 2)
        for batch, times in medians[first].items()
    )
    return all(ratio.high - ratio.low <= MAX_RELATIVE_WIDTH * ratio.value for ratio in ratios)


def _machine_load() -> dict[str, float]:
    """The load average of the last minute, and the CPU steal time since boot in seconds."""
    path = Path("/proc/stat")
    steal = float(path.read_text(encoding="ascii").split()[8]) / os.sysconf("SC_CLK_TCK") if path.exists() else 0.0
    return {"load_1min": os.getloadavg()[0], "steal_s": steal}


class _Worker:
    """The parent's handle of a worker process that loads one variant and times it on request."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.process, self.name = process, name
        self.loaded = self._read_answer()

    def warm_up(self, batch: int) -> int:
        """Warm up; returns the number of calls per round."""
        return int(self._request(order="warm_up", batch=batch)["runs"])

    def time(self, batch: int, runs: int) -> list[float]:
        """The milliseconds of each of `runs` calls."""
        times: list[float] = self._request(order="time", batch=batch, runs=runs)["times_ms"]
        return times

    def end(self) -> dict[str, Any]:
        """End the worker; returns its load time and memory."""
        return {**self.loaded, **self._request(order="end")}

    def _request(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._read_answer()

    def _read_answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that times {self.name!r} died with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _worker(variant: Variant, rows_path: Path, threads: int) -> Iterator[_Worker]:
    order = {**asdict(variant), "path": str(variant.path.resolve()), "inputs": str(rows_path.resolve()), "threads": threads}
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": root}
    command = [sys.executable, "-m", "tasks.evaluation.latency", json.dumps(order)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        yield _Worker(process, variant.name)
    finally:
        process.kill()
        process.communicate()


def run_worker(order: Mapping[str, Any]) -> None:
    """The worker process: load one variant, then answer each request on standard input until it ends."""
    rows = np.load(order["inputs"])
    import_module("onnxruntime" if order["runtime"] == "onnx" else "torch")
    idle_bytes = peak_memory_bytes()
    began = time.perf_counter()
    call = (_onnx if order["runtime"] == "onnx" else _eager)(Path(order["path"]), int(order["threads"]), order["use_case"])
    print(json.dumps({"load_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["order"] == "end":
            peak = peak_memory_bytes()
            print(json.dumps({"peak_memory_bytes": peak, "model_memory_bytes": peak - idle_bytes}), flush=True)
            return
        batch = rows[: request["batch"]]
        if request["order"] == "warm_up":
            answer: dict[str, Any] = {"runs": _warm_up_runs(call, batch)}
        else:
            answer = {"times_ms": _times(call, batch, request["runs"])}
        print(json.dumps(answer), flush=True)


def _onnx(path: Path, threads: int, use_case: str) -> Callable[[Array], Any]:
    runtime = onnx_model.create_session(path.read_bytes(), threads)
    return lambda rows: runtime.run(None, {"inputs": rows})[0]


def _eager(path: Path, threads: int, use_case: str) -> Callable[[Array], Any]:
    import torch

    from tasks.core.artifacts import Checkpoint

    torch.set_num_threads(threads)
    network, _ = Checkpoint(path, use_case).read()

    def call(rows: Array) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(rows)).numpy()

    return call


def _warm_up_runs(call: Callable[[Array], Any], rows: Array) -> int:
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < WARMUP_S or len(times) < MIN_RUNS:
        times += _times(call, rows, 1)
    return int(min(MAX_RUNS, max(MIN_RUNS, BLOCK_S * 1e3 / median(times[len(times) // 2 :]))))


def _times(call: Callable[[Array], Any], rows: Array, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        began = time.perf_counter_ns()
        call(rows)
        times.append((time.perf_counter_ns() - began) / 1e6)
    return times


def peak_memory_bytes() -> int:
    """The peak resident memory of this process; `ru_maxrss` would include its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    run_worker(json.loads(sys.argv[1]))
