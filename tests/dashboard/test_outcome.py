"""What a run came to: its card on the run page, and the run that other pages show when the newest has nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis import run_outcome
from dashboard.readers import models
from dashboard.readers.runs import run_records, run_status
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def test_the_outcome_has_the_released_model_the_best_baseline_and_what_changed(projects: Any) -> None:
    newest, before = (run_records.load(projects["finished"], name) for name in run_records.run_ids(projects["finished"]))
    outcome = run_outcome.of_run(newest, "vision", higher=True)
    assert outcome
    assert outcome.previous_row
    assert (outcome.verdict.word, outcome.row.recipe) == ("released", "int8")
    assert outcome.baseline
    assert outcome.baseline.name == "majority"
    assert outcome.previous == before
    assert outcome.changed == {"training.seed": (7, 8)}
    first = run_outcome.of_run(before, "vision", higher=True)
    assert first
    assert (first.previous, first.changed) == (None, {})


def test_a_finished_run_says_what_came_out_and_where_to_go(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run")
    text = page_text(app)
    assert "Accuracy · int8" in text
    assert "Best baseline" in text
    assert "training.seed" in text
    assert {"Results", "Try it"} <= {each.label for each in app.button}


def test_a_model_is_promoted_from_the_card(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    promoted = []
    monkeypatch.setattr(models, "promote", lambda *what: promoted.append(what) or "promoted: vision@1 is the champion")
    app = open_page(monkeypatch, projects["finished"], "run")
    app.button(key="outcome_promote_yes").click().run()
    newest = run_records.run_ids(projects["finished"])[0]
    assert promoted == [(projects["finished"], "vision", newest)]
    assert any("vision@1 is the champion" in each.value for each in app.success)


@pytest.mark.parametrize("page", ["data", "results", "compression", "try_it"])
def test_a_newer_run_without_results_does_not_hide_those_of_an_older_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: str
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    recorded_runs.finished(root)
    folder = recorded_runs.run(root, "Failed", number=1)
    shutil.rmtree(folder / "data")
    app = open_page(monkeypatch, root, page)
    assert any("The newest run has nothing to show here" in each.value for each in app.caption)
    assert not any("No results yet" in each.value or "No data yet" in each.value for each in app.markdown)


def test_a_killed_run_says_why_it_crashed_and_its_later_stages_were_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Running")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "process": {**record["process"], "pid": 2**22 + 1}}))
    app = open_page(monkeypatch, root, "run")
    assert any("ended without a message in train@vision" in each.value.replace("\\", "") for each in app.error)
    stages = run_status.stages(run_records.load(root, folder.name))
    assert {stage.state for stage in stages.values()} == {"done", "crashed", "notrun"}


def test_a_credit_run_is_previewed_although_params_yaml_does_not_list_it(projects: Any) -> None:
    planned = run_status.planned_stages(projects["nothing"], "not_listed")
    assert planned["clean@not_listed"] == ["fetch@not_listed"]
    assert "compress@not_listed-int8" in planned
