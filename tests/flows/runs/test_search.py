"""Runs are found by use case, state, time, person, pin and a part of the id, without reading them all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.runs import run_record, search
from flows.runs.search import RunAnnotation, RunFilter
from tasks.core.errors import UserError
from tests.support.executed_runs import both_runs


def test_runs_are_filtered_by_use_case_state_time_person_and_pin(project: Path, bonsai: Any) -> None:
    first, second = both_runs(project)
    search.write_annotation(first.folder, RunAnnotation(pinned=True, text="the good one"))
    who = first.record["asked"]["who"]
    for run_filter, count in (
        (RunFilter(use_case="toy"), 2),
        (RunFilter(use_case="twin"), 0),
        (RunFilter(states=("completed",)), 2),
        (RunFilter(states=("Failed",)), 0),
        (RunFilter(who=who), 2),
        (RunFilter(who="nobody"), 0),
        (RunFilter(pinned=True), 1),
        (RunFilter(since=search.parse_since("1h")), 2),
        (RunFilter(since=search.parse_since("2200-01-01")), 0),
    ):
        assert len(list(search.filter_runs(project, run_filter))) == count, run_filter
    assert "the good one" in bonsai("runs", "toy", "--pinned", "--since", "1d")[1]
    assert second.id not in bonsai("runs", "--pinned")[1]
    assert bonsai("runs", "--state", "Failed")[1] == "no such run\n"
    assert "is no time" in bonsai("runs", "--since", "soon")[2]


def test_status_names_the_folder_of_a_run_with_parameters_of_its_own(project: Path, bonsai: Any) -> None:
    first, second = both_runs(project)
    code, out, _ = bonsai("status")
    assert code == 0
    assert f"its artifacts are only in runs/{second.id}; `bonsai restore {second.id}` copies them here" in out
    shutil.rmtree(second.folder)
    assert out.count("parameters of its own") == 1
    assert "parameters of its own" not in bonsai("status")[1]
    assert first.record["whole"]


def test_of_ten_thousand_runs_only_those_shown_are_read(project: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    for number in range(10_000):
        (project / "runs" / f"20250101-{number:06}-toy-0000").mkdir()
    read: list[Path] = []
    real = run_record._read
    monkeypatch.setattr(run_record, "_read", lambda folder: (read.append(folder), real(folder))[1])
    _, out, _ = bonsai("runs", "--last", "2")
    assert out.count("-toy-") == 2
    assert len(read) <= 3
    read.clear()
    bonsai("runs", "--since", "2026-01-01", "--who", "nobody")
    assert len(read) == 2, "an id tells the time"


def test_a_run_is_found_by_a_part_of_its_id(project: Path) -> None:
    first, second = both_runs(project)
    assert search.find_run(project, first.id[-4:]).id == first.id
    assert search.find_run(project, "newest").id == run_record.run_ids(project)[0]
    with pytest.raises(UserError, match="2 runs begin or end with '20"):
        search.find_run(project, "20")
    with pytest.raises(UserError, match=f"did you mean {second.id}"):
        search.find_run(project, second.id[:-1] + "?")
    for wrong in ("../toy", "", "/etc", "."):
        with pytest.raises(UserError, match="no run"):
            search.find_run(project, wrong)
