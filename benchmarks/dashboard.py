"""What the dashboard costs: its first page, a live refresh on both sides, fifty visitors at once, ten thousand records."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks import record, visitors
from benchmarks.scene import ROOT

RUNS = 10
PAINTS = 5
LIVE_S = 20
VISITORS = 50
RECORDS = 10_000
SENTENCE = f"What the dashboard costs with {RUNS} recorded runs, one of them at work: it tells of two steps a second."


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    import recorded

    with TemporaryDirectory(prefix="bonsai-") as folder:
        root = recorded.project(Path(folder) / "p")
        for number in range(RUNS - 1):
            finished = recorded.finished(root, number=number)
        running = recorded.run(root, "Running", number=RUNS)
        rows = [listed(Path(folder) / "crowd", finished)]
        with served(root) as (address, server):
            rows += first_paint(address, server)
            with at_work(running / "journal" / "train@vision.jsonl"):
                rows += live(address, server)
                rows += crowd(address, server)
    record.write(
        "dashboard", SENTENCE, rows, counts={"paints": PAINTS, "live_s": LIVE_S, "visitors": VISITORS, "records": RECORDS}
    )


def line(what: str, value: float, unit: str, bound: float | None = None) -> dict[str, Any]:
    kept = None if bound is None else value < bound
    print(f"{what}: {value:.4g} {unit}", flush=True)
    return {"what": what, "value": round(value, 4), "unit": unit, "bound": bound, "kept": kept}


def listed(root: Path, finished: Path) -> dict[str, Any]:
    """The newest fifty of ten thousand records."""
    from dashboard.readers import run_records

    content = (finished / "run.json").read_bytes()
    for number in range(RECORDS):
        place = root / "runs" / f"20260101-{number:06d}-vision-0000"
        place.mkdir(parents=True)
        (place / "run.json").write_bytes(content)
    before, began = run_records._understood.cache_info().misses, time.process_time()
    page = run_records.listing(root, count=50)
    took = time.process_time() - began
    assert (page.total, len(page.runs)) == (RECORDS, 50)
    read = run_records._understood.cache_info().misses - before
    assert read < RECORDS / 100, f"{read} records were read to show 50"
    return line(f"the newest 50 of {RECORDS:,} records listed, {read} of them read", took, "CPU-s")


@contextmanager
def served(root: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The dashboard of that project: its address and its process."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    shutil.copytree(ROOT / ".streamlit", root / ".streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py"), f"--server.port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = root / "dashboard.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=file)
        try:
            address = f"http://127.0.0.1:{port}"
            while not _healthy(address):
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(20)
    told = log.read_text()
    assert f'File "{ROOT / "dashboard"}' not in told, told[-2000:]


def _healthy(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def at_work(event_log: Path) -> Iterator[None]:
    """The stage of that journal goes on and tells of a step and its losses twice a second."""
    over = threading.Event()

    def context() -> None:
        step = 10
        while not over.wait(0.5):
            step += 1
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            losses = {"loss": 2 / step, "validation_loss": 2.2 / step, "validation_accuracy": 1 - 1 / step}
            told = [
                {"event": "progress", "done": step % 100, "total": 100, "unit": "steps"},
                {"event": "metric", "step": step, "values": losses},
                {"event": "log", "level": "info", "message": f"step {step} is done"},
            ]
            with event_log.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"seq": 1000 + step, "at": at, **event}) + "\n" for event in told)

    worker = threading.Thread(target=context)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process and all below it until now."""
    family = [process, *process.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in family if each.is_running()))


def first_paint(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """The Run page of the first visitor since the start, and of the next ones: CPU seconds of the server, and seconds waited."""
    found = []
    for who, count in (("the first visitor since the start", 1), (f"the next visitor, median of {PAINTS}", PAINTS)):
        costs, waits = [], []
        for _ in range(count):
            before = spent(server)
            (visitor,) = visitors.stay(address, 1, 0.0)
            assert not visitor.exceptions
            assert visitor.elements > 20, "the page stayed empty"
            costs.append(spent(server) - before)
            waits.append(visitor.first_paint_s)
        found.append(line(f"first paint of Run for {who}", record.spread(costs)["median"], "CPU-s of the server", 2.0))
        found.append(line(f"first paint of Run for {who}", record.spread(waits)["median"], "seconds waited"))
    return found


def crowd(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """Fifty sessions that come at the same moment and stay, each watching the run under way."""
    before, began = spent(server), time.monotonic()
    found = visitors.stay(address, VISITORS, LIVE_S)
    took = time.monotonic() - began
    wrong = [each for visitor in found for each in visitor.exceptions]
    assert not wrong, wrong[:3]
    assert all(visitor.elements > 20 for visitor in found), "a page stayed empty"
    refreshes = sum(visitor.refreshes for visitor in found)
    assert refreshes >= VISITORS, "hardly anybody saw the run go on"
    return [
        line(f"errors in {VISITORS} sessions open for {took:.0f} s", len(wrong), "errors", 1),
        line(
            f"the last of {VISITORS} who come at the same moment",
            max(visitor.first_paint_s for visitor in found),
            "seconds waited",
        ),
        line(f"time from refresh to refresh for each of {VISITORS} sessions, on average", VISITORS * LIVE_S / refreshes, "s"),
        line(f"cores the server kept busy for {VISITORS} sessions", (spent(server) - before) / took, "cores"),
        line(f"memory of the server after {VISITORS} sessions", server.memory_info().rss / 1e6, "MB"),
    ]


def live(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """A page that watches a run under way, renewed every second, on the server and in the browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if not chromium:
        print("no chromium or no playwright here: the browser's share was not measured")
        return []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/run")
        page.wait_for_selector("[data-stage='train@vision']")
        page.wait_for_timeout(8000)
        drawing = max(_renderers(), key=lambda each: sum(each.cpu_times()[:2]))
        before, drawn, began = spent(server), sum(drawing.cpu_times()[:2]), time.monotonic()
        page.wait_for_timeout(1000 * LIVE_S)
        took = time.monotonic() - began
        shown = (sum(drawing.cpu_times()[:2]) - drawn) / took
        cost = (spent(server) - before) / took
        browser.close()
    return [
        line("live refresh, each second of one visitor", cost, "CPU-s of the server", 0.1),
        line("live refresh of one visitor", shown, "share of a browser core", 0.2),
    ]


def _renderers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "--type=renderer" in " ".join(each.cmdline())]
