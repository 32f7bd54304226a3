"""How fast `bonsai serve` answers: requests a second and latencies with 1, 8 and 64 clients, beside ONNX Runtime and BentoML.

Needs a release of vision in the project. The peer runs in an environment of its own, whose Python BONSAI_PEER_PYTHON names
(`python -m venv peer && peer/bin/pip install bentoml onnxruntime pillow`); without it, it is left out.
"""

from __future__ import annotations

import base64
import io
import os
import socket
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
from tasks.inference.released_model import ReleasedModel, load_release

CLIENTS = (1, 8, 64)
REQUESTS = int(os.environ.get("BONSAI_REQUESTS", "2000"))
USE_CASE = "vision"
PEER_VARIABLE = "BONSAI_PEER_PYTHON"
REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    """Ask the project's released vision model for single pictures."""
    root = Path.cwd()
    model = load_release(root / "data" / USE_CASE / "release", project=root)
    picture = _picture(model.model.state["side"])
    rows, cold_starts = [*_in_one_process(model, picture)], dict[str, float]()
    servers = {f"bonsai serve --log {keep}": _own_command(keep) for keep in ("none", "features")}
    peer = os.environ.get(PEER_VARIABLE)
    if peer:
        servers["BentoML"] = [peer, "-m", "bentoml", "serve", "benchmarks.serving_peer:Peer", "--port"]
    else:
        print(f"the peer is left out: {PEER_VARIABLE} names no Python with bentoml, onnxruntime and pillow")
    for name, command in servers.items():
        is_peer = command[0] == peer
        folder, path = (REPOSITORY, "/predict") if is_peer else (root, f"/{USE_CASE}/predict")
        with _server(command, folder, model.folder / "model.onnx") as (address, process, cold_start_s):
            cold_starts[name] = round(cold_start_s, 2)
            for clients in CLIENTS:
                rows.append({"what": name, **_measure(address + path, picture, clients, process)})
                print(rows[-1], flush=True)
    starts = ", ".join(f"{name} after {seconds:.1f}" for name, seconds in cold_starts.items())
    caption = f"{REQUESTS:,} requests of one picture each, clients on the same cores. CPU seconds until ready: {starts}."
    record.write("serving", caption, rows, cold_start_cpu_s=cold_starts)


def _picture(side: int) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 256, (side, side), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _in_one_process(model: ReleasedModel, picture: bytes) -> Iterator[dict[str, Any]]:
    """Without a server: ONNX Runtime on a decoded picture, the floor that none can go below, and all that `predict` does."""
    state = model.model.state
    inputs = np.zeros((1, state["channels"], state["side"], state["side"]), np.uint8)
    session = onnx_model.create_session((model.folder / "model.onnx").read_bytes())
    calls = {
        "ONNX Runtime alone, decoded input": lambda: session.run(None, {"inputs": inputs}),
        "predict() in one process": lambda: model.predict([picture]),
    }
    for name, call in calls.items():
        times, cpu_before = [], time.process_time()
        for _ in range(REQUESTS):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        cpu_ms = 1000 * (time.process_time() - cpu_before) / REQUESTS
        yield {"what": name, "clients": 1, **_summary(times, sum(times)), "cpu_ms_per_request": round(cpu_ms, 2)}


def _measure(url: str, picture: bytes, clients: int, process: psutil.Process) -> dict[str, Any]:
    body = {"inputs": [base64.b64encode(picture).decode()]}

    def ask(count: int) -> list[float]:
        times = []
        with httpx.Client(timeout=120, verify=False) as client:  # reading certificates takes longer than a request
            for _ in range(count):
                began = time.perf_counter()
                answer = client.post(url, json=body)
                times.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
        return times

    ask(20)  # the first requests import and allocate
    cpu_before, began = _cpu_s(process), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [seconds for each in pool.map(ask, [REQUESTS // clients] * clients) for seconds in each]
    wall_s, cpu_s = time.perf_counter() - began, _cpu_s(process) - cpu_before
    return {"clients": clients, **_summary(times, wall_s), "cpu_ms_per_request": round(1000 * cpu_s / len(times), 2)}


def _cpu_s(process: psutil.Process) -> float:
    """The CPU seconds of a process and of those that it started."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def _summary(times: list[float], wall_s: float) -> dict[str, Any]:
    p50, p95, p99 = (round(1000 * float(np.quantile(times, share)), 3) for share in (0.5, 0.95, 0.99))
    return {"requests_per_s": round(len(times) / wall_s), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def _own_command(keep: str) -> list[str]:
    return [sys.executable, "-P", "-m", "flows.cli.main", "serve", USE_CASE, "--log", keep, "--port"]


@contextmanager
def _server(command: list[str], folder: Path, model: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """The address and process of a server, and the CPU seconds that it took to be ready; `command` lacks its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BONSAI_PEER_MODEL": str(model), "BENTOML_DO_NOT_TRACK": "1"}
    process = subprocess.Popen([*command, port], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(address):
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)
        measured = psutil.Process(process.pid)
        yield address, measured, _cpu_s(measured)
    finally:
        process.terminate()
        process.wait(40)


def _is_ready(address: str) -> bool:
    """Whether the server answers; Bonsai has its models then, BentoML says so at /readyz."""
    try:
        return 200 in (httpx.get(f"{address}{path}").status_code for path in ("/ready", "/readyz"))
    except httpx.TransportError:
        return False
