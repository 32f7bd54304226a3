"""The run page: the form that requests a run, its plan, and the view of one run."""

from typing import Any

import pytest

from dashboard.readers import prefect_api
from dashboard.readers.runs import run_records
from dashboard.views.run import start_form
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def test_the_page_shows_the_progress_of_a_running_run(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["running"], "run")
    assert "3 of 12 stages" in app.progress[0].text
    assert app.get("bidi_component") or "Running" in page_text(app)


def test_the_page_shows_the_error_of_a_failed_run_and_offers_a_retry(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["failed"], "run")
    assert any("not finite" in each.value for each in app.error)
    assert "Retry from the failed stage" in [button.label for button in app.button]


def test_the_query_parameter_selects_the_stage(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run", stage="clean@vision")
    assert any("Validates every row" in each.value for each in app.caption)


def test_without_a_server_the_button_shows_the_command(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.button(key="start_run").click().run()
    assert not app.exception
    assert any("No Prefect server responds" in each.value for each in app.warning)
    assert any(each.value == "bonsai run vision" for each in app.code)


def test_the_button_requests_one_run_and_follows_it(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    requests = []
    monkeypatch.setattr(
        prefect_api, "request_run", lambda root, *what: requests.append(what) or "00000000-0000-0000-0000-00000000beef"
    )
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.number_input(key="vision.training.epochs").set_value(3).run()
    app.button(key="start_run").click().run()
    assert requests == [(["vision"], [], {"training.epochs": 3})]
    assert app.query_params["flow"] == "00000000-0000-0000-0000-00000000beef"
    assert not app.exception


def test_a_requested_run_is_shown_once_its_folder_exists(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run", flow="00000000-0000-0000-0000-000000000000")
    assert "flow" not in app.query_params
    assert app.query_params["run"] == run_records.run_ids(projects["finished"])[1]


def test_overrides_are_shown_and_can_be_reset(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.number_input(key="vision.training.epochs").set_value(3).run()
    assert any("training.epochs=3" in each.value for each in app.code)
    app.button(key="reset").click().run()
    assert app.number_input(key="vision.training.epochs").value != 3
    assert any(each.value == "bonsai run vision" for each in app.code)


def test_the_quick_preset_fills_the_form(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.segmented_control(key="preset").set_value("quick").run()
    assert not app.exception
    assert any("--set fetch.limit=" in each.value and "--recipe int8" in each.value for each in app.code)


def test_editing_a_run_fills_the_form_with_its_settings(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run")
    app.button(key="edit_run").click().run()
    assert app.number_input(key="vision.training.epochs").value == 3


def test_the_plan_is_shown_on_request(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    steps = [{"stage": "fetch@vision", "verdict": "Run", "seconds": 2.0, "reasons": [{"kind": "new", "text": "never ran"}]}]
    monkeypatch.setattr(start_form, "_plan_steps", lambda *what: (steps, ""))
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.button(key="plan").click().run()
    assert not app.exception
    assert any("1 of 1 stages to run" in each.value for each in app.markdown)
