"""The process that loads one variant and times its calls on request, and the parent's handle of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_session

if TYPE_CHECKING:
    from tasks.core.use_case import Array
    from tasks.evaluation.latency import Variant

BLOCK_S = 0.03
"""Approximate time of one variant in one round."""
WARMUP_S = 0.05
MIN_RUNS, MAX_RUNS = 3, 400


class TimingProcess:
    """The parent's handle of a process that loads one variant and times it on request."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.process, self.name = process, name
        self.loaded: dict[str, Any] = {}

    def wait(self) -> None:
        """Wait until the process has imported its runtime."""
        self._read_answer()

    def load(self) -> None:
        """Load the variant."""
        self.loaded = self._request(order="load")

    def warm_up(self, batch: int) -> int:
        """Warm up; returns the number of calls per round."""
        return int(self._request(order="warm_up", batch=batch)["runs"])

    def time(self, batch: int, runs: int) -> list[float]:
        """The milliseconds of each of `runs` calls."""
        times: list[float] = self._request(order="time", batch=batch, runs=runs)["times_ms"]
        return times

    def end(self) -> dict[str, Any]:
        """End the process; returns its load time and memory."""
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
def start(variant: Variant, rows_path: Path, threads: int) -> Iterator[TimingProcess]:
    """A process that imports its runtime and then waits for requests; it is killed at the end of the block."""
    order = {**asdict(variant), "path": str(variant.path.resolve()), "inputs": str(rows_path.resolve()), "threads": threads}
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": root}
    command = [sys.executable, "-m", "tasks.evaluation.timing_process", json.dumps(order)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        yield TimingProcess(process, variant.name)
    finally:
        process.kill()
        process.communicate()


def answer_requests(order: Mapping[str, Any]) -> None:
    """What the process does: import the runtime, then answer each request on standard input until it ends."""
    rows = np.load(order["inputs"])
    import_module("onnxruntime" if order["runtime"] == "onnx" else "torch")
    idle_bytes = peak_memory_bytes()
    _answer({})
    call: Callable[[Array], Any] = lambda rows: rows  # noqa: E731
    for line in sys.stdin:
        request = json.loads(line)
        if request["order"] == "load":
            began = time.perf_counter()
            load = _onnx if order["runtime"] == "onnx" else _eager
            call = load(Path(order["path"]), int(order["threads"]), order["use_case"])
            _answer({"load_s": time.perf_counter() - began})
        elif request["order"] == "warm_up":
            _answer({"runs": _warm_up_runs(call, rows[: request["batch"]])})
        elif request["order"] == "time":
            _answer({"times_ms": _times(call, rows[: request["batch"]], request["runs"])})
        else:
            peak = peak_memory_bytes()
            _answer({"peak_memory_bytes": peak, "model_memory_bytes": peak - idle_bytes})
            return


def _answer(values: Mapping[str, Any]) -> None:
    print(json.dumps(values), flush=True)


def _onnx(path: Path, threads: int, use_case: str) -> Callable[[Array], Any]:
    runtime = onnx_session.open_session(path.read_bytes(), threads)
    return lambda rows: runtime.run(None, {"inputs": rows})[0]


def _eager(path: Path, threads: int, use_case: str) -> Callable[[Array], Any]:
    import torch

    from tasks.core.storage.artifacts import Checkpoint

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
    answer_requests(json.loads(sys.argv[1]))
