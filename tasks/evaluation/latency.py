"""How large, how heavy and how fast: variants in processes of their own, fed round by round in turn."""

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
ROUNDS = 15
MOST_ROUNDS = 90
"""Rounds go on, fifteen at a time, while a ratio is less sure than `SURE`: a busy machine is timed for longer, not worse."""
SURE = 0.1
"""The width of a ratio's interval as a share of the ratio. What a contract asks for has no say in when timing ends."""
BLOCK_S = 0.03
"""About how long one variant is timed in one round."""
WARMUP_S = 0.15
MIN_RUNS, MAX_RUNS = 3, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Something that answers: an ONNX file under ONNX Runtime, or a checkpoint's network under eager PyTorch."""

    name: str
    runtime: Literal["onnx", "eager"]
    path: Path
    use_case: str = ""
    """The use case whose networks a checkpoint is one of; an ONNX file needs none."""


def latency(
    variants: Sequence[Variant], inputs: Array, scratch: Path, *, threads: int = 1, event_log: EventLog | None = None
) -> dict[str, Any]:
    """Wall-clock milliseconds of one call of each variant, at each batch size, with peak memory and load time.

    One process per variant, `threads` each; after a warm-up every round times each of them in turn, the order rotating,
    so that what else the machine does falls on all alike, for `ROUNDS` to `MOST_ROUNDS` rounds. `speedup_over` gives for
    each pair of variants how many times faster the first is than the second: the median of the ratios round by round, with
    its 95 % interval.
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
        played = 0
        while played % ROUNDS or not played or (played < MOST_ROUNDS and not _sure(medians)):
            shift = played % len(names)
            for batch in BATCHES:
                for name in names[shift:] + names[:shift]:
                    rounds[name][batch].append(workers[name].time(batch, runs[name][batch]))
                    medians[name][batch].append(median(rounds[name][batch][-1]))
            played += 1
            if event_log:
                event_log.progress(played, max(ROUNDS, played), "rounds of timing")
        ended = {name: worker.end() for name, worker in workers.items()}
    rows_path.unlink()
    return {
        "machine": machine(),
        "threads": threads,
        "rounds": played,
        "load_before": before,
        "load_after": _machine_load(),
        "variants": {
            name: {
                **ended[name],
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
    """What the figures were measured on."""
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
    typical = statistics.median_interval(medians)
    return {
        "median_ms": typical.value,
        "low_ms": typical.low,
        "high_ms": typical.high,
        "p95_ms": float(np.quantile(every, 0.95)),
        "runs": len(every),
        "round_medians_ms": medians,
    }


def _speedup(base: list[float], own: list[float]) -> dict[str, Any]:
    found = statistics.ratio_interval(base, own)
    bound = statistics.ratio_interval(base, own, statistics.one_sided())
    verdict = "no real gain" if found.low <= 1 <= found.high else "faster" if found.low > 1 else "slower"
    return {"ratio": found.value, "low": found.low, "high": found.high, "at_least": bound.low, "verdict": verdict}


def _sure(medians: Mapping[str, Mapping[int, list[float]]]) -> bool:
    """Whether every ratio of two variants is known well enough."""
    pairs = combinations(medians, 2)
    found = (statistics.ratio_interval(own, medians[other][batch]) for one, other in pairs for batch, own in medians[one].items())
    return all(ratio.high - ratio.low <= SURE * ratio.value for ratio in found)


def _machine_load() -> dict[str, float]:
    """Runnable processes in the last minute, and seconds that the hypervisor gave to others since boot."""
    path = Path("/proc/stat")
    steal = float(path.read_text(encoding="ascii").split()[8]) / os.sysconf("SC_CLK_TCK") if path.exists() else 0.0
    return {"load_1min": os.getloadavg()[0], "steal_s": steal}


class _Worker:
    """The near end of a process that holds one variant and times it when asked."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.process, self.name = process, name
        self.loaded = self._answer()

    def warm_up(self, batch: int) -> int:
        """Run until warm; returns how many calls fill a round."""
        return int(self._ask(order="warm_up", batch=batch)["runs"])

    def time(self, batch: int, runs: int) -> list[float]:
        """Milliseconds of each of so many calls."""
        times: list[float] = self._ask(order="time", batch=batch, runs=runs)["times_ms"]
        return times

    def end(self) -> dict[str, Any]:
        return {**self.loaded, **self._ask(order="end")}

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
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


def serve(order: Mapping[str, Any]) -> None:
    """The far end: load one variant, then do as each line of standard input says until it ends."""
    rows = np.load(order["inputs"])
    import_module("onnxruntime" if order["runtime"] == "onnx" else "torch")
    idle_bytes = peak_memory_bytes()
    began = time.perf_counter()
    call = (_onnx if order["runtime"] == "onnx" else _eager)(Path(order["path"]), int(order["threads"]), order["use_case"])
    print(json.dumps({"load_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["order"] == "end":
            peak = peak_memory_bytes()
            print(json.dumps({"peak_memory_bytes": peak, "model_memory_bytes": peak - idle_bytes}), flush=True)
            return
        batch = rows[: ask["batch"]]
        answer = {"runs": _warm(call, batch)} if ask["order"] == "warm_up" else {"times_ms": _times(call, batch, ask["runs"])}
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


def _warm(call: Callable[[Array], Any], rows: Array) -> int:
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
    """The most memory this process held; `ru_maxrss` would start from its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
