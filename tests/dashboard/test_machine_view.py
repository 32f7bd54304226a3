"""The machine on the pages: its use during a run below the stages, its slots, and which worker does what."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers.runs import machine_usage, run_records, workers
from flows.system import machine_usage as meters
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def measured_run(root: Path, state: str = "Completed") -> Path:
    """A run with three measurements and a line that was cut off."""
    folder = recorded_runs.run(root, state)
    lines = [
        {
            "at": (recorded_runs.BEGAN + timedelta(seconds=10 * second)).isoformat(),
            "cpu_share": 0.5,
            "run_cpu_share": 0.25 * second,
            "memory_bytes": 2e9,
            "memory_total_bytes": 8_000_000_000,
            "run_memory_bytes": 1e9,
            "disk_free_bytes": 5_000_000_000,
            "disk_read_bytes_per_s": 1_000_000,
            "disk_written_bytes_per_s": 0,
        }
        for second in range(3)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / meters.FILE).write_text(text + text[: len(text) // 5])
    return folder


def test_figures_have_seconds_since_the_start_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    measured_run(root)
    run = run_records.latest(root)[0]
    figures = machine_usage.of_run(run)
    assert figures["seconds"].tolist() == [0.0, 10.0, 20.0]
    assert figures["run_cpu_share"].tolist() == [0.0, 0.25, 0.5]
    (run.folder / meters.FILE).unlink()
    assert machine_usage.of_run(run).empty


def test_the_run_page_shows_the_machine_below_the_stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    measured_run(root)
    app = open_page(monkeypatch, root, "run")
    app.session_state["pictures"] = "Machine"
    app.run()
    assert not app.exception
    assert "The machine has 8 GB of memory; 5 GB of disk were free at the end." in page_text(app)


def test_slots_waiting_stages_and_the_stages_of_a_worker_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Running")
    record: Any = json.loads((folder / "run.json").read_text())
    names = list(record["stages"])
    record["stages"][names[4]]["state"] = "Queued"
    (folder / "run.json").write_text(json.dumps(record))
    monkeypatch.setenv("BONSAI_SLOTS", "3")
    queue = workers.queue(root)
    assert (queue.slots, queue.held, queue.stages) == (3, 0, ((folder.name, names[4]),))
    (worker,) = [each for each in workers.list_workers(root) if each.kind == "run"]
    assert worker.stages == ("train@vision",)
    app = open_page(monkeypatch, root, "about")
    text = page_text(app)
    assert "0 of 3 slots in use" in text
    assert names[4] in text
