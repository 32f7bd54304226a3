"""A run whose record is damaged is named wherever runs are listed, repaired from its copy, and never skipped."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.runs import record_file, run_record, search
from flows.runs.search import RunAnnotation
from tasks.core.errors import UserError
from tests.support.executed_runs import both_runs, toy_request


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(bytes(content))


def test_any_flipped_byte_of_a_record_is_named_by_the_command_line_and_repaired_from_the_copy(project: Path, bonsai: Any) -> None:
    run = both_runs(project)[0]
    path, whole = run.folder / "run.json", (run.folder / "run.json").read_bytes()
    for position in random.Random(7).sample(range(len(whole)), 12):
        flip(path, position)
        out = bonsai("runs")[1]
        assert out.count(run.id) >= 2
        assert f"{path} was damaged" in out
        assert path.read_bytes() == whole
    assert (run.folder / "run.json.damaged").exists()
    flip(path, 100)
    code, _, err = bonsai("pin", run.id)
    assert (code, "its copy took its place" in err) == (0, True)


def test_a_record_without_an_intact_copy_is_listed_as_damaged_with_advice_that_helps(project: Path, bonsai: Any) -> None:
    run = both_runs(project)[0]
    for name in ("run.json", "run.copy.json"):
        flip(run.folder / name, 100)
    listed = {each.id: run_record.state(each) for each in run_record.iter_runs(project)}
    assert listed[run.id] == "Damaged"
    out = bonsai("runs", "--state", "damaged")[1]
    assert f"{run.folder / 'run.json'} is damaged" in out
    assert f"`bonsai pull {run.id}`" in out
    for command in ("pin", "restore", "verdict", "verify"):
        code, _, err = bonsai(command, run.id)
        assert (code, err.count("\n")) == (2, 1), command
        assert "is damaged" in err


def test_a_folder_with_files_but_no_record_is_damaged_and_an_empty_one_is_no_run(project: Path) -> None:
    run = both_runs(project)[0]
    (run.folder / "run.json").unlink()
    (run.folder / "run.copy.json").unlink()
    (project / "runs" / "20260101-000000-toy-0000").mkdir()
    assert sorted(run_record.state(each) for each in run_record.iter_runs(project)) == ["Completed", "Damaged"]


def test_a_record_without_a_checksum_is_opened_and_its_types_are_checked(project: Path) -> None:
    run = both_runs(project)[0]
    (run.folder / "run.copy.json").unlink()
    old = {name: value for name, value in run.record.items() if name != "reflected"}
    (run.folder / "run.json").write_text(json.dumps({**old, "error": None}))
    assert run_record.find(project, run.id).record["error"] == ""
    for wrong, what in (
        ({"started_at": "yesterday"}, "started_at"),
        ({"stages": {"../../x": {}}}, "no name of a stage"),
        ({"stages": {"train@toy": {"key": "../../.."}}}, "stages.train@toy.key"),
        ({"stages": {"train@toy": {"outs": {"/etc": {"md5": "0" * 32}}}}}, "no path of an output"),
        ({"process": {"pid": "1"}}, "no number of a process"),
    ):
        (run.folder / "run.json").write_text(json.dumps({**old, **wrong}))
        with pytest.raises(UserError, match=what):
            run_record.find(project, run.id)


def test_a_damaged_annotation_pins_the_run_and_says_so(project: Path, bonsai: Any) -> None:
    run = both_runs(project)[0]
    search.write_annotation(run.folder, RunAnnotation(pinned=False, text="a note"))
    flip(run.folder / "notes.json", 20)
    assert search.read_annotation(run.folder).pinned
    assert "notes.json is damaged" in bonsai("runs")[1]


def test_the_newest_run_is_the_last_one_made_also_when_the_clock_was_set_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TwoDaysAgo(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime(2020, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as clock:
        clock.setattr(run_record, "datetime", TwoDaysAgo)
        made = [run_record.create(project, toy_request(project), trigger="test").id for _ in range(2)]
    assert run_record.run_ids(project)[:2] == made[::-1]
    folder = project / "runs" / "99991231-235959-toy-0000"
    folder.mkdir()
    (folder / run_record.FOREIGN_FILE).write_text("{}")
    assert run_record.create(project, toy_request(project), trigger="test").id < "9999", "a pulled run sets no time"


def test_a_repair_keeps_the_damaged_file_and_the_copy(project: Path) -> None:
    run = both_runs(project)[0]
    assert record_file.repair(run.folder) == ""
    (run.folder / "run.json").unlink()
    assert "it is missing" in record_file.repair(run.folder)
    assert run_record.find(project, run.id).record == run.record
