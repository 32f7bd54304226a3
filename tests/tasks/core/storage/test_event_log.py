"""An event log is readable while its stage runs, and after the stage was killed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.storage.event_log import EventLog, read_events


@pytest.fixture
def path(tmp_path: Path) -> Any:
    return tmp_path / "journal" / "train@vision.jsonl"


def test_each_event_is_one_json_line_visible_at_once(path: Any) -> None:
    event_log = EventLog(path)
    event_log.metric(1, loss=0.5, accuracy=0.9)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "metric"]
    assert [line["seq"] for line in lines] == [0, 1]
    assert lines[1]["values"] == {"loss": 0.5, "accuracy": 0.9}
    assert lines[1]["at"].endswith("+00:00")
    event_log.finish()


def test_the_last_event_holds_cpu_time_and_memory(path: Any) -> None:
    event_log = EventLog(path)
    event_log.finish()
    last = list(read_events(path))[-1]
    assert last["event"] == "finished"
    assert last["cpu_s"] > 0
    assert last["peak_memory_bytes"] > 1_000_000


def test_progress_is_throttled_except_for_the_last_event(path: Any) -> None:
    event_log = EventLog(path)
    for done in range(1001):
        event_log.progress(done, 1000, "rows")
    event_log.finish()
    progress = [event for event in read_events(path) if event["event"] == "progress"]
    assert len(progress) < 10
    assert progress[-1]["done"] == 1000


def test_a_loss_that_is_not_a_number_is_written_as_null(path: Any) -> None:
    event_log = EventLog(path)
    event_log.metric(1, loss=float("nan"))
    event_log.finish()
    assert [event["values"] for event in read_events(path) if event["event"] == "metric"] == [{"loss": None}]


def test_an_attempt_after_a_killed_one_appends_to_the_same_file(path: Any) -> None:
    killed = EventLog(path)
    killed.log("half way")
    killed.close()
    with path.open("a") as file:
        file.write('{"seq": 2, "event": "pro')
    again = EventLog(path)
    again.finish()
    events = list(read_events(path))
    assert [event["event"] for event in events] == ["started", "log", "started", "finished"]
    assert [event["attempt"] for event in events if event["event"] == "started"] == [1, 2]


def test_an_attempt_after_a_finished_one_starts_a_new_file(path: Any) -> None:
    EventLog(path).finish()
    again = EventLog(path)
    again.fail("out of luck", "details")
    events = list(read_events(path))
    assert [event["event"] for event in events] == ["started", "failed"]
    assert events[1]["error"] == "out of luck"


def test_a_missing_event_log_has_no_events(path: Any) -> None:
    assert list(read_events(path)) == []
