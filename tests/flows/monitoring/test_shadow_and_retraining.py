"""A challenger in shadow is promoted when it is shown better and rolled back when that was wrong; drift starts a new run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import promotion
from flows.monitoring import one_pass, references, retraining
from flows.monitoring.follow_up import follow_up
from flows.registry import history
from flows.request_log import feedback, reader
from flows.runs import run_record
from tasks.core.errors import UserError
from tests.support import recorded_requests, recorded_runs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with vision@1 as champion and vision@2, which answers some rows otherwise, as challenger."""
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    recorded_requests.project_with_champion(root)
    promotion.promote(root, "vision", recorded_requests.recorded_run(root, 2), alias="challenger")
    for name in ("vision@1", "vision@2"):
        references.ensure_reference(root, "vision", name)
    return root


def pictures(root: Path, count: int, seed: int = 1) -> list[bytes]:
    return recorded_requests.drawn(recorded_requests.held_out(sorted((root / "runs").iterdir())[0]), count, seed)


def label(root: Path, ids: list[str], column: str) -> None:
    """Say that the answers in a column of the log are the right ones."""
    rows = reader.read_requests(root, "vision").set_index("request_id").loc[ids]
    entries = [{"request_id": name, "position": 1, "label": row[column], "source": "test"} for name, row in rows.iterrows()]
    feedback.append(root, entries)


def aliases(root: Path) -> tuple[str, str]:
    registered = history.read(root, "vision")
    champion, challenger = registered.at("champion"), registered.at("challenger")
    assert champion is not None
    assert challenger is not None
    return champion.name, challenger.name


def look(root: Path, start: Any = None) -> tuple[dict[str, Any], list[str]]:
    report = one_pass.look(root, "vision")
    return report, follow_up(root, "vision", report, start)


def test_a_challenger_that_is_right_more_often_is_promoted_and_rolled_back_when_it_is_not_any_more(project: Path) -> None:
    ids = recorded_requests.ask(project, pictures(project, 150), shadow_share=1.0)
    report, lines = look(project)
    assert (report["shadow"]["rows"], report["shadow"]["outcome"], lines) == (0, "undecided", [])
    label(project, ids, "shadow_predicted")
    report, lines = look(project)
    shadow = report["shadow"]
    assert shadow["outcome"] == "better"
    assert shadow["gained"] > 5
    assert shadow["lost"] == 0
    assert 0 < shadow["low"] <= shadow["difference"] <= shadow["high"]
    assert "`bonsai promote vision vision@2` makes it the champion" in lines[0]
    assert aliases(project) == ("vision@1", "vision@2"), "the policy promotes never by default"
    (project / "monitoring.yaml").write_text("vision: {promote: when_better}\n")
    _, lines = look(project)
    assert lines[0].startswith("promoted: vision@2 is the champion, since on 150 labelled requests")
    assert aliases(project) == ("vision@2", "vision@1")
    ids = recorded_requests.ask(project, pictures(project, 150, seed=5), shadow_share=1.0)
    label(project, ids, "shadow_predicted")
    _, lines = look(project)
    assert lines[0].startswith("rolled back: vision@1 is the champion")
    assert aliases(project) == ("vision@1", "vision@2")
    assert [event["why"] for event in history.read(project, "vision").events if event["event"] == "alias"][-2:] == [
        "rollback",
        "promotion",
    ]


def test_a_challenger_that_is_worse_stays_where_it_is(project: Path) -> None:
    (project / "monitoring.yaml").write_text("vision: {promote: when_better}\n")
    label(project, recorded_requests.ask(project, pictures(project, 150), shadow_share=1.0), "predicted")
    report, lines = look(project)
    assert report["shadow"]["outcome"] == "worse"
    assert lines[0].startswith("vision@2 is shown worse than vision@1")
    assert aliases(project) == ("vision@1", "vision@2")


def test_drift_starts_one_run_on_the_rows_and_the_labelled_inputs_and_its_release_becomes_the_challenger(project: Path) -> None:
    (project / "monitoring.yaml").write_text("vision: {retrain: on_drift, min_labels: 40}\n")
    changed = [recorded_requests.inverted(picture) for picture in pictures(project, 80)]
    ids = recorded_requests.ask(project, changed, keep="inputs")
    started: list[dict[str, Any]] = []

    def start(use_case: str, overrides: dict[str, Any]) -> str:
        started.append({"use_case": use_case, **overrides})
        return "request-1"

    _, lines = look(project, start)
    assert "0 labelled inputs of vision were collected, 40 are needed" in lines[0]
    label(project, ids[:50], "predicted")
    _, lines = look(project, start)
    assert lines == ["vision: vision@1 drifted; started run request-1 with 50 new labelled rows"]
    assert look(project, start)[1] == [], "one run for each version"
    (only,) = started
    table = pd.read_parquet(only["fetch.path"])
    raw = pd.read_parquet(sorted((project / "runs").iterdir())[0] / "data/vision/raw/part-00000.parquet")
    assert table["image"].tolist() == raw["image"].tolist() + changed[:50]
    assert table["label"].notna().all()
    finished = recorded_requests.recorded_run(project, 1)
    run_record.find(project, finished).update(overrides={"use_cases.vision.fetch.path": only["fetch.path"]})
    _, lines = look(project, start)
    assert lines == ["vision: vision@3, trained with 50 new labelled rows, is the challenger"]
    assert aliases(project)[1] == "vision@3"
    assert retraining.read_state(project, "vision")["outcome"] == "vision@3"


def test_without_a_server_for_runs_the_look_says_so(project: Path) -> None:
    (project / "monitoring.yaml").write_text("vision: {retrain: on_drift, min_labels: 0}\n")
    recorded_requests.ask(project, [recorded_requests.inverted(picture) for picture in pictures(project, 80)])

    def start(use_case: str, overrides: dict[str, Any]) -> str:
        raise UserError("no Prefect server is running here")

    assert look(project, start)[1] == ["no new run: no Prefect server is running here"]
