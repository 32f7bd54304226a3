"""A plan names what a run would execute and why, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.execution.plan import plan_run, stage_durations
from flows.parameters import run_request
from flows.runs import run_record

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


def asked(toy: Path, **more: Any) -> run_request.RunRequest:
    return run_request.build_request(toy, ["toy"], **more)


def test_a_plan_names_what_would_run_and_why_and_leaves_nothing(toy: Path) -> None:
    steps = {step.name: step for step in plan_run(toy, asked(toy))}
    assert {step.verdict for step in steps.values()} == {"Run"}
    assert [reason.kind for reason in steps["fetch@toy"].reasons] == ["new"]
    assert "after fetch@toy" in map(str, steps["clean@toy"].reasons)
    assert list((toy / ".bonsai" / "plans").iterdir()) == []


def test_durations_come_from_the_newest_run_that_executed_a_stage(toy: Path) -> None:
    for seconds in (5.0, 7.0):
        run = run_record.create(toy, asked(toy), trigger="test")
        run.update_stage("train@toy", state="Completed", wall_s=seconds)
        run.folder.rename(run.folder.with_name(f"2026010{seconds:.0f}-000000-toy-aaaa"))
    assert stage_durations(toy)["train@toy"] == 7.0
