"""A look at the log: quiet while requests are as ever, an alarm when they are not, told once and followed up by the policy."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.monitoring import alarms, one_pass, references
from flows.monitoring.follow_up import follow_up
from flows.monitoring.policy import Policy, read_policy
from flows.request_log import feedback, reader
from tasks.core.errors import UserError
from tests.support import recorded_requests, recorded_runs
from tests.tasks.inference.test_released_model import inputs_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    recorded_requests.project_with_champion(root)
    references.ensure_reference(root, "vision", "vision@1")
    return root


def rows(root: Path) -> Any:
    return recorded_requests.held_out(sorted((root / "runs").iterdir())[0])


def test_requests_like_the_reference_raise_no_alarm_and_inverted_pictures_do(project: Path) -> None:
    recorded_requests.ask(project, recorded_requests.drawn(rows(project), 120))
    report = one_pass.look(project, "vision")
    assert (report["model"], report["requests"], report["rows"], report["alarms"]) == ("vision@1", 120, 120, [])
    assert report["rows_without_statistics"] == 0
    assert report["recent"]["latency_ms"] == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    names = {each["name"] for each in report["statistics"]}
    assert {"brightness", "contrast", "polarity", "sharpness", "distance", "predicted", "confidence"} <= names
    pictures = [recorded_requests.inverted(picture) for picture in recorded_requests.drawn(rows(project), 120, seed=2)]
    recorded_requests.ask(project, pictures)
    report = one_pass.look(project, "vision")
    assert report["rows"] == 240
    drifted = {alarm["name"] for alarm in report["new_alarms"]}
    assert {"brightness", "polarity"} <= drifted
    assert all(alarm["kind"] == "drift" and alarm["evidence"] > report["threshold"] for alarm in report["alarms"])
    again = one_pass.look(project, "vision")
    assert (again["new_alarms"], again["requests"]) == ([], 240)
    assert again["statistics"] == report["statistics"]
    assert one_pass.read_report(project, "vision") == again
    assert alarms.acknowledge(project, "vision", "vision@1", "known") == len(report["alarms"])
    assert one_pass.look(project, "vision")["alarms"] == []
    assert {event["event"] for event in alarms.read_events(project, "vision")} == {"raised", "acknowledged"}


GERMAN = "Der Vorstand beschloss gestern die {} und legte {} Euro zurück."


def other_language(place: int, text: Any) -> str:
    return GERMAN.format("Übernahme" if place % 2 else "Schließung", place)


def another_unit(place: int, record: Any) -> dict[str, Any]:
    return {**record, "income": 12 * (record["income"] or 0)}


@pytest.mark.parametrize(
    ("use_case", "change", "statistics"),
    [("nlp", other_language, {"bits per letter", "share of unknown words"}), ("credit", another_unit, {"income"})],
)
def test_drift_of_texts_and_of_tables_is_found_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_case: str, change: Any, statistics: set[str]
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    held_out = recorded_requests.held_out(recorded_requests.project_with_champion(root, use_case), use_case)
    references.ensure_reference(root, use_case, f"{use_case}@1")
    inputs = inputs_of(use_case, held_out.sample(200, replace=True, random_state=1))
    recorded_requests.ask(root, inputs[:100], use_case=use_case)
    report = one_pass.look(root, use_case)
    assert (report["rows"], report["rows_without_statistics"], report["alarms"]) == (100, 0, [])
    recorded_requests.ask(root, [change(place, value) for place, value in enumerate(inputs[100:])], use_case=use_case)
    report = one_pass.look(root, use_case)
    assert report["rows"] == 200
    assert statistics <= {alarm["name"] for alarm in report["new_alarms"]}


def test_the_log_has_the_answers_and_the_labels_that_came_later(project: Path) -> None:
    chosen = rows(project).head(10)
    ids = recorded_requests.ask(project, list(chosen["image"]), keep="inputs")
    answers = reader.read_requests(project, "vision")
    assert answers["input"].tolist() == list(chosen["image"])
    assert list(answers["classes"].iloc[0]) == ["0", "1", "2", "3"]
    assert sum(answers["probabilities"].iloc[0]) == pytest.approx(1.0)
    right = dict(zip(ids, answers["predicted"], strict=True))
    entries = [{"request_id": name, "position": 1, "label": label, "source": ""} for name, label in right.items()]
    feedback.append(project, [*entries[:8], {**entries[8], "label": "none of these"}])
    accuracy = one_pass.look(project, "vision")["feedback"]
    assert (accuracy["rows"], accuracy["accuracy"]) == (9, pytest.approx(8 / 9))
    assert accuracy["low"] < 8 / 9 < accuracy["high"]


def test_without_a_reference_every_look_tests_the_limits(project: Path) -> None:
    recorded_requests.ask(project, recorded_requests.drawn(rows(project), 10))
    for folder in ("runs", "monitoring/vision/references"):
        shutil.rmtree(project / folder)
    for _ in range(3):
        report = one_pass.look(project, "vision")
        assert (report["model"], report["rows"], report["statistics"]) == ("vision@1", 10, [])
    assert "no longer here" in report["reference"]["missing"]


def test_slow_requests_raise_an_alarm_of_their_own(project: Path) -> None:
    (project / "monitoring.yaml").write_text("vision: {slow_ms: 2}\n")
    recorded_requests.ask(project, recorded_requests.drawn(rows(project), 20))
    report = one_pass.look(project, "vision")
    assert [(each["kind"], each["name"]) for each in report["alarms"]] == [("limit", "slow")]
    assert "more than 1.0% of the requests take longer than 2 ms" in report["alarms"][0]["message"]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alarms", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_new_alarms_go_to_the_webhook_and_one_that_is_not_there_is_told(
    project: Path, webhook: tuple[str, list[Any]], bonsai: Any
) -> None:
    address, received = webhook
    (project / "monitoring.yaml").write_text(f"vision: {{slow_ms: 2, webhook: '{address}'}}\n")
    recorded_requests.ask(project, recorded_requests.drawn(rows(project), 20))
    code, out, _ = bonsai("monitor", "--json")
    (report,) = json.loads(out)
    assert (code, report["done"]) == (1, [])
    (content,) = received
    assert (content["use_case"], [each["name"] for each in content["alarms"]]) == ("vision", ["slow"])
    (project / "monitoring.yaml").write_text("vision: {webhook: 'http://127.0.0.1:9/'}\n")
    (line,) = follow_up(project, "vision", report)
    assert line.startswith("the webhook http://127.0.0.1:9/ was not reached: ")
    code, out, _ = bonsai("monitor", "vision", "--acknowledge", "a slow day")
    assert (code, out.split("\n")[0]) == (0, "vision: closed 1 alarm")
    assert "vision@1: 20 requests, 20 answers" in out


def test_a_state_of_another_version_is_not_mixed_with_the_next(project: Path) -> None:
    recorded_requests.ask(project, recorded_requests.drawn(rows(project), 10))
    one_pass.look(project, "vision")
    second = recorded_requests.recorded_run(project, 1)
    from flows import promotion

    promotion.promote(project, "vision", second, force=True)
    report = one_pass.look(project, "vision")
    assert (report["model"], report["rows"], report["requests"]) == ("vision@2", 0, 0)
    (project / "monitoring/vision/state.json").write_text("{")
    with pytest.raises(UserError, match=r"state\.json cannot be read; delete it"):
        one_pass.look(project, "vision")


def test_mistakes_in_the_policy_are_named(tmp_path: Path) -> None:
    assert read_policy(tmp_path, "vision") == Policy()
    for text, expected in (
        ("vision: {alpa: 1}", "vision.alpa: Extra inputs are not permitted; there is: alpha"),
        ("vision: {alpha: 2}", "vision.alpha"),
        ("vision: 3", "expected a section of settings"),
        ("a: [", "is not YAML"),
    ):
        (tmp_path / "monitoring.yaml").write_text(text)
        with pytest.raises(UserError, match=expected.replace(".", r"\.")):
            read_policy(tmp_path, "vision")


def test_without_a_log_the_command_says_what_makes_one(project: Path, bonsai: Any) -> None:
    code, _, err = bonsai("monitor")
    assert (code, err) == (2, "error: no requests were recorded yet; `bonsai serve` records them\n")
