"""Cost of the dashboard: the first page, a live refresh on both sides, fifty sessions at once, ten thousand run records."""

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

from benchmarks import dashboard_sessions, record
from benchmarks.stage_workspace import ROOT

RUNS = 10
PAINTS = 5
LIVE_S = 20
VISITORS = 50
RECORDS = 10_000
SENTENCE = f"What the dashboard costs with {RUNS} recorded runs, one of them at work: it tells of two steps a second."


def main() -> None:
    from tests.support import recorded_runs

    with TemporaryDirectory(prefix="bonsai-") as folder:
        root = recorded_runs.project(Path(folder) / "p")
        for number in range(RUNS - 1):
            finished = recorded_runs.finished(root, number=number)
        running = recorded_runs.run(root, "Running", number=RUNS)
        rows = [list_many_records(Path(folder) / "crowd", finished)]
        with dashboard_server(root) as (address, server):
            rows += first_paint(address, server)
            with running_stage(running / "journal" / "train@vision.jsonl"):
                rows += live_refresh(address, server)
                rows += many_sessions(address, server)
    record.write(
        "dashboard", SENTENCE, rows, counts={"paints": PAINTS, "live_s": LIVE_S, "visitors": VISITORS, "records": RECORDS}
    )


def table_row(what: str, value: float, unit: str, bound: float | None = None) -> dict[str, Any]:
    within_bound = None if bound is None else value < bound
    print(f"{what}: {value:.4g} {unit}", flush=True)
    return {"what": what, "value": round(value, 4), "unit": unit, "bound": bound, "kept": within_bound}


def list_many_records(root: Path, finished: Path) -> dict[str, Any]:
    """List the newest 50 of 10,000 run records."""
    from dashboard.readers.runs import run_records

    content = (finished / "run.json").read_bytes()
    for number in range(RECORDS):
        place = root / "runs" / f"20260101-{number:06d}-vision-0000"
        place.mkdir(parents=True)
        (place / "run.json").write_bytes(content)
    before, began = run_records._parse_record.cache_info().misses, time.process_time()
    page = run_records.list_runs(root, count=50)
    took = time.process_time() - began
    assert (page.total, len(page.runs)) == (RECORDS, 50)
    read = run_records._parse_record.cache_info().misses - before
    assert read < RECORDS / 100, f"{read} records were read to show 50"
    return table_row(f"the newest 50 of {RECORDS:,} records listed, {read} of them read", took, "CPU-s")


@contextmanager
def dashboard_server(root: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start the dashboard of a project. Yields its address and its process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
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
    output = log.read_text()
    assert f'File "{ROOT / "dashboard"}' not in output, output[-2000:]


def _healthy(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def running_stage(event_log: Path) -> Iterator[None]:
    """Append a step, its losses and a log line to an event log twice a second, while the block runs."""
    stopped = threading.Event()

    def write_events() -> None:
        step = 10
        while not stopped.wait(0.5):
            step += 1
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            losses = {"loss": 2 / step, "validation_loss": 2.2 / step, "validation_accuracy": 1 - 1 / step}
            events = [
                {"event": "progress", "done": step % 100, "total": 100, "unit": "steps"},
                {"event": "metric", "step": step, "values": losses},
                {"event": "log", "level": "info", "message": f"step {step} is done"},
            ]
            with event_log.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"seq": 1000 + step, "at": at, **event}) + "\n" for event in events)

    thread = threading.Thread(target=write_events)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds so far of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in family if each.is_running()))


def first_paint(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """CPU seconds of the server and seconds waited for the Run page, for the first visitor since the start and for later ones."""
    rows = []
    for visitor, count in (("the first visitor since the start", 1), (f"the next visitor, median of {PAINTS}", PAINTS)):
        costs, waits = [], []
        for _ in range(count):
            before = cpu_seconds(server)
            (session,) = dashboard_sessions.open_sessions(address, 1, 0.0)
            assert not session.exceptions
            assert session.elements > 20, "the page stayed empty"
            costs.append(cpu_seconds(server) - before)
            waits.append(session.first_paint_s)
        rows.append(table_row(f"first paint of Run for {visitor}", record.spread(costs)["median"], "CPU-s of the server", 2.0))
        rows.append(table_row(f"first paint of Run for {visitor}", record.spread(waits)["median"], "seconds waited"))
    return rows


def many_sessions(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """Fifty sessions opened at once, each watching the active run."""
    before, began = cpu_seconds(server), time.monotonic()
    sessions = dashboard_sessions.open_sessions(address, VISITORS, LIVE_S)
    took = time.monotonic() - began
    wrong = [each for session in sessions for each in session.exceptions]
    assert not wrong, wrong[:3]
    assert all(session.elements > 20 for session in sessions), "a page stayed empty"
    refreshes = sum(session.refreshes for session in sessions)
    assert refreshes >= VISITORS, "hardly anybody saw the run go on"
    return [
        table_row(f"errors in {VISITORS} sessions open for {took:.0f} s", len(wrong), "errors", 1),
        table_row(
            f"the last of {VISITORS} who come at the same moment",
            max(session.first_paint_s for session in sessions),
            "seconds waited",
        ),
        table_row(
            f"time from refresh to refresh for each of {VISITORS} sessions, on average", VISITORS * LIVE_S / refreshes, "s"
        ),
        table_row(f"cores the server kept busy for {VISITORS} sessions", (cpu_seconds(server) - before) / took, "cores"),
        table_row(f"memory of the server after {VISITORS} sessions", server.memory_info().rss / 1e6, "MB"),
    ]


def live_refresh(address: str, server: psutil.Process) -> list[dict[str, Any]]:
    """CPU time of the server and the browser while one page watches the active run."""
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
        renderer = max(_renderers(), key=lambda each: sum(each.cpu_times()[:2]))
        before, renderer_before, began = cpu_seconds(server), sum(renderer.cpu_times()[:2]), time.monotonic()
        page.wait_for_timeout(1000 * LIVE_S)
        took = time.monotonic() - began
        browser_share = (sum(renderer.cpu_times()[:2]) - renderer_before) / took
        cost = (cpu_seconds(server) - before) / took
        browser.close()
    return [
        table_row("live refresh, each second of one visitor", cost, "CPU-s of the server", 0.1),
        table_row("live refresh of one visitor", browser_share, "share of a browser core", 0.2),
    ]


def _renderers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children(recursive=True) if "--type=renderer" in " ".join(each.cmdline())]
