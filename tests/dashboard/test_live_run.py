"""Asking for a run and watching it: every use case, every way it can stand with Prefect, every stage looked at closely."""

import json
import sys
from unittest.mock import patch

import pytest
import yaml

from dashboard.readers import prefect_api, run_records
from dashboard.readers.prefect_api import FlowRun, Worker
from tests.support import recorded_runs
from tests.support.dashboard_pages import open_page, words

ASKED = "00000000-0000-0000-0000-00000000beef"

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """AppTest leaves its script as `__main__`, which every process spawned later by any test would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def no_server():
    with patch.object(prefect_api, "server", lambda root: None):
        yield


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """A project in which one use case ran that its params.yaml does not list, and one in which a run is under way."""
    found = {name: recorded_runs.project(tmp_path_factory.mktemp("projects") / name) for name in ("unlisted", "running")}
    recorded_runs.finished(found["unlisted"], number=0, use_case="credit")
    recorded_runs.finished(found["unlisted"], number=1, use_case="vision")
    recorded_runs.run(found["running"], "Running")
    path = found["unlisted"] / "params.yaml"
    params = yaml.safe_load(path.read_text())
    del params["use_cases"]["credit"]
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return found


@pytest.mark.parametrize("page", ["run", "results", "try_it"])
def test_a_use_case_that_params_does_not_list_is_offered_and_shown(monkeypatch, projects, page):
    app = open_page(monkeypatch, projects["unlisted"], page, uc="credit")
    assert not app.exception
    assert app.session_state["context"].use_case == "credit"
    assert app.session_state["context"].run.record.use_cases == ["credit"]


def test_an_unknown_use_case_in_the_address_is_named(monkeypatch, projects):
    app = open_page(monkeypatch, projects["unlisted"], "results", uc="visoin")
    assert "There is no use case visoin." in words(app)


def test_quick_with_other_recipes_is_not_quick_any_more(monkeypatch, projects):
    app = open_page(monkeypatch, projects["unlisted"], "run")
    app.segmented_control(key="preset").set_value("quick").run()
    assert app.segmented_control(key="preset").value == "quick"
    app.session_state["recipes"] = ["int8", "pruned"]
    app.run()
    assert app.segmented_control(key="preset").value == "own"


class Waiting:
    """A server that knows one run, which has not begun."""

    url = "http://127.0.0.1:1/api"

    def __init__(self, state, message=""):
        self.state = state
        self.message = message
        self.cancelled = []

    def flow_run(self, flow_run_id):
        return FlowRun(flow_run_id, "mellow", self.state, self.message, "2026-11-20T03:00:00+00:00")

    def cancel(self, flow_run_id):
        self.cancelled.append(flow_run_id)

    def workers(self):
        return [Worker("elm", "bonsai", "ONLINE", "2026-11-20T03:00:00+00:00")]

    def version(self):
        return "3"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("Scheduled", "Prefect state: Scheduled"),
        ("Late", "No worker has started this run yet"),
        ("Completed", "This run has completed"),
        ("Failed", "ended before it started: no such file"),
    ],
)
def test_a_run_that_has_no_folder_yet_is_told_by_its_state(monkeypatch, projects, state, said):
    with patch.object(prefect_api, "server", lambda root: Waiting(state, "no such file")):
        app = open_page(monkeypatch, projects["unlisted"], "run", flow=ASKED)
    assert not app.exception
    assert said in words(app)


def test_a_run_that_waits_can_be_called_off(monkeypatch, projects):
    server = Waiting("Scheduled")
    with patch.object(prefect_api, "server", lambda root: server):
        app = open_page(monkeypatch, projects["unlisted"], "run", flow=ASKED)
        app.button(key="call_off_yes").click().run()
    assert server.cancelled == [ASKED]


def test_the_drawer_shows_what_a_stage_took_and_made_and_each_of_its_attempts(monkeypatch, tmp_path):
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Failed")
    tries = [{"event": "started"}, {"event": "failed", "error": "the disk was full"}, {"event": "started"}]
    recorded_runs.event_log(folder, "train@vision", tries)
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
    taken = next(frame.value for frame in app.dataframe if "Produced by" in frame.value)
    assert list(taken["Path"]) == ["data/vision/augment", "data/vision/clean"]
    assert taken["MD5 hash"].str.len().eq(12).all()


@pytest.mark.parametrize(("state", "offer"), [("Failed", "Retry from the failed stage"), ("Cancelled", "Resume")])
def test_a_run_that_did_not_end_well_can_be_taken_up_again(monkeypatch, tmp_path, state, offer):
    root = recorded_runs.project(tmp_path / "p")
    recorded_runs.run(root, state)
    app = open_page(monkeypatch, root, "run")
    assert offer in [button.label for button in app.button]


def test_a_run_is_asked_to_end_only_once(monkeypatch, projects):
    asked = []
    monkeypatch.setattr(prefect_api, "cancel", lambda root, run: asked.append(run.id))
    app = open_page(monkeypatch, projects["running"], "run")
    app.button(key="cancel_yes").click().run()
    assert asked == run_records.names(projects["running"])
    assert not app.exception
    assert app.session_state["ending"] == asked[0]


def test_about_lists_who_works(monkeypatch, projects):
    with patch.object(prefect_api, "server", lambda root: Waiting("Running")):
        app = open_page(monkeypatch, projects["running"], "about")
    assert not app.exception
    found = next(frame.value for frame in app.dataframe if "Kind" in frame.value)
    assert list(found["Kind"]) == ["active run", "Prefect worker"]
    assert list(found["Name"]) == [*run_records.names(projects["running"]), "elm (bonsai)"]
    assert list(found["State"]) == ["busy", "online"]
