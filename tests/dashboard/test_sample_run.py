"""The sample run that comes with the package, and the first screen of a project without runs."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis import parameter_fields, run_outcome
from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, sample_run
from flows.parameters import run_request
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def test_the_sample_is_a_whole_run_that_ended_with_a_release(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    run = run_records.load(tmp_path, sample_run.SAMPLE)
    assert run.state == "completed"
    outcome = run_outcome.of_run(run, sample_run.USE_CASE, higher=True)
    assert outcome
    assert outcome.verdict.word == "released"
    assert outcome.previous is None
    assert {entry.state for entry in run.record.stages.values()} <= {"Completed", "Restored", "Unchanged"}
    assert run_records.run_ids(tmp_path) == [], "it is no run of the project"


def test_the_sample_names_no_person_and_no_machine() -> None:
    with zipfile.ZipFile(sample_run.ARCHIVE) as packed:
        record = packed.read("run.json").decode()
        assert '"who": "Bonsai"' in record
        for text in ("/home", "/root", "/tmp", "/work"):
            assert text not in record


def test_a_packed_run_can_be_read_again_and_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root)
    archives = [tmp_path / name for name in ("one.zip", "two.zip")]
    for archive in archives:
        assert "data/vision/release/verdict.json" in sample_run.pack(folder, archive)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    place = sample_run.unpacked(root, archives[0])
    assert place == sample_run.unpacked(root, archives[1]), "unpacked once"
    assert (place / "data/vision/clean/ledger.json").read_bytes() == (folder / "data/vision/clean/ledger.json").read_bytes()
    with pytest.raises(Unreadable):
        sample_run.unpacked(root, tmp_path / "none.zip")


@pytest.mark.parametrize(
    ("page", "text"), [("data", "Row counts reconcile"), ("results", "kernel"), ("compression", "int8"), ("try_it", "Draw")]
)
def test_every_page_is_alive_before_the_first_run(monkeypatch: pytest.MonkeyPatch, projects: Any, page: str, text: str) -> None:
    app = open_page(monkeypatch, projects["nothing"], page)
    assert not app.exception
    assert any("sample run that comes with Bonsai" in each.value for each in app.info)
    assert text in page_text(app) or app.get("vega_lite_chart") or app.get("bidi_component")


def test_the_first_screen_says_what_bonsai_is_for_and_starts_the_demo_in_one_click(
    monkeypatch: pytest.MonkeyPatch, projects: Any
) -> None:
    requests: list[Any] = []
    monkeypatch.setattr(
        prefect_api, "request_run", lambda root, *what: requests.append(what) or "00000000-0000-0000-0000-00000000beef"
    )
    app = open_page(monkeypatch, projects["nothing"], "run")
    text = page_text(app)
    assert "small model that you can trust" in text
    for question in ("ten digits", "sentence about", "fall tomorrow"):
        assert question in text
    app.button(key="demo").click().run()
    assert [list(each) for each in requests[0][:2]] == [["vision"], ["int8"]]
    assert not app.exception


def test_the_demo_is_a_valid_request_that_differs_from_the_parameters() -> None:
    root = Path(__file__).parents[2]
    demo = parameter_fields.DEMO["vision"]
    request = run_request.build_request(root, ["vision"], parameter_fields.DEMO_RECIPES, demo)
    assert request.overrides == {f"use_cases.vision.{name}": value for name, value in demo.items()}


def test_the_demo_preset_fills_the_form(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.segmented_control(key="preset").set_value("demo").run()
    assert any("--set training.epochs=4" in each.value for each in app.code)
    assert app.segmented_control(key="preset").value == "demo"
