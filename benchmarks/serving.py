"""How fast `bonsai serve` answers: requests a second and latencies with 1, 8 and 64 clients, beside ONNX Runtime alone."""

from __future__ import annotations

import base64
import io
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks import record
from tasks.core import onnx_model
from tasks.inference.released_model import load_release

CLIENTS = (1, 8, 64)
REQUESTS = 2000
USE_CASE = "vision"


def main() -> None:
    """Ask the project's released vision model for single pictures; needs a release in data/vision/release or a champion."""
    root = Path.cwd()
    picture = _picture()
    rows = [_bare_runtime(root, picture)]
    for keep in ("none", "features"):
        with _server(root, keep) as (address, process, cold_start_s):
            for clients in CLIENTS:
                rows.append({**_measure(address, picture, clients, process), "what": f"bonsai serve --log {keep}"})
                print(rows[-1], flush=True)
    caption = f"{REQUESTS:,} requests of one picture each, clients on the same cores"
    record.write("serving", f"{caption}; the server was ready after {cold_start_s:.1f} CPU-s.", rows)


def _picture() -> bytes:
    pixels = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _bare_runtime(root: Path, picture: bytes) -> dict[str, Any]:
    """ONNX Runtime in this process, on a picture that is decoded already: the floor that no server can go below."""
    model = load_release(root / "data" / USE_CASE / "release", project=root)
    state = model.model.state
    inputs = np.zeros((1, state["channels"], state["side"], state["side"]), np.uint8)
    session = onnx_model.create_session((model.folder / "model.onnx").read_bytes())
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        session.run(None, {"inputs": inputs})
        times.append(time.perf_counter() - began)
    predicted = []
    for _ in range(REQUESTS // 10):
        began = time.perf_counter()
        model.predict([picture])
        predicted.append(time.perf_counter() - began)
    print(f"predict() of one picture: {1000 * statistics.median(predicted):.2f} ms")
    return {"what": "ONNX Runtime alone, decoded input", "clients": 1, **_summary(times, sum(times)), "cpu_ms_per_request": None}


def _measure(address: str, picture: bytes, clients: int, process: psutil.Process) -> dict[str, Any]:
    body = {"inputs": [base64.b64encode(picture).decode()]}

    def ask(count: int) -> list[float]:
        times = []
        with httpx.Client(timeout=120) as client:
            for _ in range(count):
                began = time.perf_counter()
                answer = client.post(f"{address}/{USE_CASE}/predict", json=body)
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
        return times

    cpu_before, began = sum(process.cpu_times()[:2]), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [seconds for each in pool.map(ask, [REQUESTS // clients] * clients) for seconds in each]
    wall_s, cpu_s = time.perf_counter() - began, sum(process.cpu_times()[:2]) - cpu_before
    return {
        "what": "bonsai serve",
        "clients": clients,
        **_summary(times, wall_s),
        "cpu_ms_per_request": round(1000 * cpu_s / len(times), 2),
    }


def _summary(times: list[float], wall_s: float) -> dict[str, Any]:
    p50, p95, p99 = (round(1000 * float(np.quantile(times, share)), 3) for share in (0.5, 0.95, 0.99))
    return {"requests_per_s": round(len(times) / wall_s), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


@contextmanager
def _server(root: Path, keep: str) -> Iterator[tuple[str, psutil.Process, float]]:
    """The server's address and process, and the CPU seconds that it took to be ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-P", "-m", "flows.cli.main", "serve", USE_CASE, "--port", port, "--log", keep]
    process = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{address}/ready")
                break
            except httpx.TransportError:
                assert process.poll() is None, "the server ended"
                time.sleep(0.05)
        measured = psutil.Process(process.pid)
        yield address, measured, sum(measured.cpu_times()[:2])
    finally:
        process.terminate()
        process.wait(40)
