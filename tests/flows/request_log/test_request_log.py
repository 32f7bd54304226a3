"""The request log: whole files, bounded disk, each row once, and the right answers joined with it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.request_log import feedback, reader
from flows.request_log.records import LogSettings, requests_folder, segments
from flows.request_log.writer import LogWriter
from tasks.core.errors import UserError
from tests.support.toy_project import REPOSITORY

AT = datetime(2026, 11, 1, tzinfo=UTC)


def row(number: int, **more: Any) -> dict[str, Any]:
    base = {"request_id": f"toy-{number:032x}", "position": 1, "at": AT + timedelta(seconds=number), "model": "toy@1"}
    return {**base, "status": 200, "error": "", "predicted": "a", "numbers": {"length": float(number)}, **more}


def filled(root: Path, count: int, rows: int = 10, **settings: Any) -> LogWriter:
    writer = LogWriter(root, "toy", LogSettings(**settings))
    for number in range(count):
        for place in range(rows):
            writer.append(row(number * rows + place))
        writer.flush()
    return writer


def test_rows_come_back_in_the_order_of_time_with_their_statistics_as_columns(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "toy", LogSettings())
    assert writer.flush() is None
    for number in (2, 0, 1):
        writer.append(row(number, categories={"script": "LATIN"}))
    writer.flush()
    rows = reader.read_requests(tmp_path, "toy")
    assert rows["at"].tolist() == [AT + timedelta(seconds=number) for number in range(3)]
    statistics = reader.statistics_columns(rows)
    assert statistics["length"].tolist() == [0.0, 1.0, 2.0]
    assert statistics["script"].tolist() == ["LATIN"] * 3
    later = reader.read_requests(tmp_path, "toy", since=AT, columns=["predicted"])
    assert (list(later.columns), len(later)) == (["predicted"], 2)
    assert len(reader.read_requests(tmp_path, "toy", limit=1)) == 1
    assert reader.read_requests(tmp_path, "nobody").empty


def test_many_small_files_are_merged_without_losing_or_doubling_a_row(tmp_path: Path) -> None:
    filled(tmp_path, 80)
    assert len(segments(tmp_path, "toy")) < 40
    rows = reader.read_requests(tmp_path, "toy")
    assert rows["request_id"].tolist() == [f"toy-{number:032x}" for number in range(800)]
    first = segments(tmp_path, "toy")[0]
    (first.parent / f"0-1-{first.name}").write_bytes(first.read_bytes())  # as a merge leaves it that was killed
    assert len(reader.read_requests(tmp_path, "toy")) == 800


def test_files_that_are_merged_while_the_log_is_read_cost_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 20)
    lists: list[list[Path]] = []

    def list_then_merge(root: Path, use_case: str) -> list[Path]:
        lists.append(segments(root, use_case))
        if len(lists) == 1:
            filled(tmp_path, 40)
        return lists[-1]

    monkeypatch.setattr(reader, "segments", list_then_merge)
    rows = reader.read_requests(tmp_path, "toy")
    assert len(lists) == 2
    assert len(rows) == rows["request_id"].nunique() == 400


def test_the_oldest_rows_go_when_the_log_is_larger_than_allowed(tmp_path: Path) -> None:
    filled(tmp_path, 60, max_bytes=100_000, file_bytes=30_000)
    assert sum(path.stat().st_size for path in segments(tmp_path, "toy")) <= 100_000
    rows = reader.read_requests(tmp_path, "toy")
    assert 0 < len(rows) < 600
    assert rows["request_id"].iloc[-1] == f"toy-{599:032x}"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    (path,) = segments(tmp_path, "toy")
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match=f"{path.name} is no file of the request log"):
        reader.read_requests(tmp_path, "toy")


def test_the_last_right_answer_to_an_input_counts(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    ids = [f"toy-{number:032x}" for number in range(3)]
    feedback.append(tmp_path, [{"request_id": ids[0], "position": 1, "label": "b", "source": "ann"}])
    feedback.append(tmp_path, [{"request_id": each, "position": 1, "label": "c", "source": ""} for each in (ids[0], ids[2])])
    feedback.append(tmp_path, [{"request_id": ids[1], "position": 7, "label": "c", "source": ""}])
    labelled = reader.read_labelled(tmp_path, "toy", columns=["predicted"])
    assert labelled[["request_id", "predicted", "label"]].to_numpy().tolist() == [[ids[0], "a", "c"], [ids[2], "a", "c"]]
    assert feedback.use_case_of("../etc/passwd") == ""
    assert feedback.use_case_of(ids[0]) == "toy"


def test_a_line_of_feedback_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    entry = {"request_id": f"toy-{1:032x}", "position": 1, "label": "b", "source": ""}
    feedback.append(tmp_path, [entry])
    path = tmp_path / "monitoring/toy/feedback.jsonl"
    path.write_bytes(path.read_bytes() + b'{"request_id": "toy-')
    feedback.append(tmp_path, [{**entry, "label": "ä"}])
    assert feedback.read_feedback(tmp_path, "toy")["label"].tolist() == ["b", "ä"]


WRITER = """
import sys
from pathlib import Path
from datetime import UTC, datetime
from flows.request_log import feedback
from flows.request_log.records import LogSettings
from flows.request_log.writer import LogWriter
import secrets
writer = LogWriter(Path(sys.argv[1]), "toy", LogSettings(file_bytes=60_000))
print("ready", flush=True)
while True:
    name = f"toy-{secrets.token_hex(16)}"
    for position in range(1, 30):
        writer.append({"request_id": name, "position": position, "at": datetime.now(UTC), "model": "toy@1", "error": ""})
    writer.flush()
    feedback.append(Path(sys.argv[1]), [{"request_id": name, "position": 1, "label": "x", "source": ""}])
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_killed_writers_leave_no_damaged_file_and_only_whole_flushes(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    draw = random.Random(7)
    for kills in range(25):
        command = [sys.executable, str(script), str(tmp_path)]
        writers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            time.sleep(draw.random() / 5)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
        counts = reader.read_requests(tmp_path, "toy", columns=["request_id"])["request_id"].value_counts()
        assert set(counts) <= {29}, kills
        labelled = feedback.read_feedback(tmp_path, "toy")
        assert set(labelled["request_id"]) <= set(counts.index)
    assert len(counts) >= 5
    filled(tmp_path, 1)
    assert not [path for path in requests_folder(tmp_path, "toy").iterdir() if path.name.endswith(".partial")]
