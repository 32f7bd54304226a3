"""Requesting and watching a run: use cases, the run's state in Prefect, and the details of a stage."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from dashboard.readers import prefect_api
from dashboard.readers.prefect_api import FlowRun, Worker
from dashboard.readers.runs import run_records
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

FLOW_RUN_ID = "00000000-0000-0000-0000-00000000beef"

pytestmark = PAGE_MARKS


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a run of a use case that its params.yaml does not list, and one with a running run."""
    roots = {name: recorded_runs.project(tmp_path_factory.mktemp("projects") / name) for name in ("unlisted", "running")}
    recorded_runs.finished(roots["unlisted"], number=0, use_case="credit")
    recorded_runs.finished(roots["unlisted"], number=1, use_case="vision")
    recorded_runs.run(roots["running"], "Running")
    path = roots["unlisted"] / "params.yaml"
    params = yaml.safe_load(path.read_text())
    del params["use_cases"]["credit"]
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return roots


@pytest.mark.parametrize("page", ["run", "results", "try_it"])
def test_a_use_case_missing_from_params_is_offered_and_shown(monkeypatch: pytest.MonkeyPatch, projects: Any, page: Any) -> None:
    app = open_page(monkeypatch, projects["unlisted"], page, uc="credit")
    assert not app.exception
    assert app.session_state["context"].use_case == "credit"
    assert app.session_state["context"].run.record.use_cases == ["credit"]


def test_an_unknown_use_case_in_the_url_is_reported(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["unlisted"], "results", uc="visoin")
    assert "There is no use case visoin." in page_text(app)


def test_the_quick_preset_with_other_recipes_is_a_custom_one(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["unlisted"], "run", new="1")
    app.segmented_control(key="preset").set_value("quick").run()
    assert app.segmented_control(key="preset").value == "quick"
    app.session_state["recipes"] = ["int8", "pruned"]
    app.run()
    assert app.segmented_control(key="preset").value == "own"


class PendingServer:
    """A server with one run that has not started."""

    url = "http://127.0.0.1:1/api"

    def __init__(self, state: Any, message: Any = "") -> None:
        self.state = state
        self.message = message
        self.cancelled: list[Any] = []

    def flow_run(self, flow_run_id: Any) -> Any:
        return FlowRun(flow_run_id, "mellow", self.state, self.message, "2026-11-20T03:00:00+00:00")

    def cancel(self, flow_run_id: Any) -> None:
        self.cancelled.append(flow_run_id)

    def workers(self) -> Any:
        return [Worker("elm", "bonsai", "ONLINE", "2026-11-20T03:00:00+00:00")]

    def version(self) -> Any:
        return "3"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Scheduled", "Prefect state: Scheduled"),
        ("Late", "No worker has started this run yet"),
        ("Completed", "This run has completed"),
        ("Failed", "ended before it started: no such file"),
    ],
)
def test_a_run_without_a_folder_shows_its_state_in_prefect(
    monkeypatch: pytest.MonkeyPatch, projects: Any, state: Any, expected: Any
) -> None:
    with patch.object(prefect_api, "server", lambda root: PendingServer(state, "no such file")):
        app = open_page(monkeypatch, projects["unlisted"], "run", flow=FLOW_RUN_ID)
    assert not app.exception
    assert expected in page_text(app)


def test_a_pending_run_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    server = PendingServer("Scheduled")
    with patch.object(prefect_api, "server", lambda root: server):
        app = open_page(monkeypatch, projects["unlisted"], "run", flow=FLOW_RUN_ID)
        app.button(key="call_off_yes").click().run()
    assert server.cancelled == [FLOW_RUN_ID]


def test_the_stage_details_show_inputs_outputs_and_every_attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Failed")
    events = [{"event": "started"}, {"event": "failed", "error": "the disk was full"}, {"event": "started"}]
    recorded_runs.event_log(folder, "train@vision", events)
    record = json.loads((folder / "run.json").read_text())
    record["stages"]["train@vision"]["attempt"] = 2
    (folder / "run.json").write_text(json.dumps(record))
    app = open_page(monkeypatch, root, "run", stage="train@vision")
    attempts = next(frame.value for frame in app.dataframe if "Attempt" in frame.value)
    assert list(attempts["Attempt"]) == [1, 2]
    assert attempts["Error"][0] == "the disk was full"
    app.session_state["drawer"] = "Inputs and outputs"
    app.run()
    assert not app.exception
    inputs = next(frame.value for frame in app.dataframe if "Produced by" in frame.value)
    assert list(inputs["Path"]) == ["data/vision/augment", "data/vision/clean"]
    assert inputs["MD5 hash"].str.len().eq(12).all()


@pytest.mark.parametrize(("state", "label"), [("Failed", "Retry from the failed stage"), ("Cancelled", "Resume")])
def test_a_run_that_did_not_complete_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: Any, label: Any
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    recorded_runs.run(root, state)
    app = open_page(monkeypatch, root, "run")
    assert label in [button.label for button in app.button]


def test_a_run_is_cancelled_only_once(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    cancelled = []
    monkeypatch.setattr(prefect_api, "cancel", lambda root, run: cancelled.append(run.id))
    app = open_page(monkeypatch, projects["running"], "run")
    app.button(key="cancel_yes").click().run()
    assert cancelled == run_records.run_ids(projects["running"])
    assert not app.exception
    assert app.session_state["ending"] == cancelled[0]


def test_about_lists_the_active_workers(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    with patch.object(prefect_api, "server", lambda root: PendingServer("Running")):
        app = open_page(monkeypatch, projects["running"], "about")
    assert not app.exception
    table = next(frame.value for frame in app.dataframe if "Kind" in frame.value)
    assert list(table["Kind"]) == ["active run", "Prefect worker"]
    assert list(table["Name"]) == [*run_records.run_ids(projects["running"]), "elm (bonsai)"]
    assert list(table["State"]) == ["busy", "online"]
