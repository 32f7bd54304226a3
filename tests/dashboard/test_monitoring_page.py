"""The page Monitoring: requests, latency, drift and alarms, from the files that the server and the monitor write."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboard.readers import monitoring
from dashboard.readers.artifact_models import parse_as
from flows.monitoring import one_pass
from flows.request_log.records import use_case_folder
from tasks.core.storage.atomic_files import write_json
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS

REPORT = {
    "use_case": "vision",
    "model": "vision@2",
    "at": "2026-11-20T09:30:00Z",
    "requests": 1200,
    "rows": 1300,
    "recent": {"rows": 480, "requests": 500, "latency_ms": {"p50": 3.21, "p95": 7.5, "p99": 11.0}, "errors": {"bad_input": 4}},
    "threshold": 3.4,
    "statistics": [
        {
            "name": "brightness",
            "evidence": 5.2,
            "alarm": True,
            "kind": "number",
            "edges": [0.2, 0.5],
            "reference": [0.3, 0.4, 0.3, 0.0],
            "recent": [0.0, 0.2, 0.8, 0.0],
        },
        {
            "name": "predicted",
            "evidence": 0.1,
            "kind": "category",
            "values": ["0", "1"],
            "reference": [0.5, 0.4, 0.1, 0.0],
            "recent": [0.5, 0.5, 0.0, 0.0],
        },
    ],
    "limits": [{"name": "slow", "limit": 0.01, "mean": 0.002, "evidence": 0.0, "alarm": False}],
    "feedback": {"rows": 50, "accuracy": 0.92, "low": 0.8, "high": 0.98},
    "alarms": [{"kind": "drift", "name": "brightness", "at": "2026-11-20T09:29:00Z", "message": "it drifts"}],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    folder = use_case_folder(root, "vision")
    folder.mkdir(parents=True)
    write_json(folder / one_pass.REPORT, REPORT)
    return root


def test_the_report_of_the_last_look_is_shown(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "monitoring")
    assert not app.exception
    text = page_text(app).replace("\\", "")
    for part in ("1,200", "3.21 ms", "7.50 ms", "0.9200", "the distribution of brightness is no longer"):
        assert part in text
    assert list(app.dataframe[0].value["state"]) == ["drifts", "like the reference"]


def test_alarms_are_acknowledged_with_a_reason(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    closed: list[Any] = []
    monkeypatch.setattr(monitoring, "acknowledge", lambda *what: closed.append(what))
    app = open_page(monkeypatch, root, "monitoring")
    assert app.button(key="acknowledge").disabled
    app.text_input(key="why").set_value("a new camera").run()
    app.button(key="acknowledge").click().run()
    assert closed == [(root, "vision", "a new camera")]


def test_without_requests_the_page_says_how_to_serve(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "monitoring")
    assert "Nothing was asked yet" in page_text(app)
    assert any("bonsai serve vision" in each.value for each in app.code)


def test_a_report_of_another_structure_is_named(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    write_json(use_case_folder(root, "vision") / one_pass.REPORT, {"statistics": 3})
    app = open_page(monkeypatch, root, "monitoring")
    assert any("report.json" in each.value.replace("\\", "") for each in app.info)


def test_requests_are_counted_in_equal_spans_of_time() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    rows = pd.DataFrame(
        {
            "request_id": [f"r{number}" for number in (0, 0, 1, 2, 3)],
            "at": pd.to_datetime([start + timedelta(minutes=minutes) for minutes in (0, 0, 0, 59, 60)]),
            "latency_ms": [1.0, 1.0, 3.0, 5.0, 7.0],
            "confidence": [0.5, 0.5, 0.7, 0.9, 0.9],
        }
    )
    table = monitoring.over_time(rows)
    assert list(table["requests"]) == [2, 1, 1]
    assert list(table["p50"]) == [2.0, 5.0, 7.0]
    assert table["at"].iloc[1] == start + timedelta(minutes=59)


def test_the_cells_of_a_statistic_are_named_by_their_bounds() -> None:
    report = parse_as(REPORT, monitoring.Report, "report.json")
    assert report.statistics[0].cells == ["< 0.2", "0.2 – 0.5", "≥ 0.5", ""]
    assert report.statistics[1].cells == ["0", "1", "", ""]
