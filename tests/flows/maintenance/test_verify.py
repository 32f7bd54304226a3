"""A run is verified: its stages are executed again, and differences are named where they arise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.maintenance import verify
from tests.support.executed_runs import both_runs


def test_a_verified_run_is_identical_except_for_timing(project: Path, bonsai: Any) -> None:
    first = both_runs(project)[0]
    code, out, _ = bonsai("verify", first.id)
    assert code == 0, out
    assert "verified: 9 stages identical, 1 identical but for latencies within 100%" in out
    assert not (project / ".bonsai" / "verify" / first.id).exists()
    kept = json.loads((first.folder / "verified.json").read_text())
    assert {each["state"] for each in kept["stages"]} == {"identical", "within tolerance"}


def test_a_difference_is_named_where_it_arises_with_its_first_artifact(project: Path, bonsai: Any) -> None:
    second = both_runs(project)[1]
    code = second.folder / "tasks" / "stages" / "train.py"
    code.write_text(code.read_text().replace('json.dumps({"sum": total})', 'json.dumps({"sum": total + 1})'))
    ended, out, _ = bonsai("verify", second.id)
    assert ended == 1
    assert "differs at train@toy: data/toy/model/model.json, " in out
    states = {each["stage"]: each["state"] for each in json.loads((second.folder / "verified.json").read_text())["stages"]}
    assert states.pop("train@toy") == "differs"
    assert "differs" not in states.values(), "what follows was given the run's own model"
    assert (project / ".bonsai" / "verify" / second.id / "journal" / "train@toy.jsonl").exists()


def test_latencies_are_compared_by_their_ratios() -> None:
    def timed(ratio: float, median: float) -> dict[str, Any]:
        return {"a": {"speedup_over": {"ratio": ratio}, "median_ms": median}}

    assert verify.largest_deviation(timed(2.0, 5.0), timed(2.5, 50.0)) == pytest.approx(0.2)
    assert verify.largest_deviation({"median_ms": 3.0}, {"median_ms": 2.0}) == 0.5
    assert verify.largest_deviation({"median_ms": 3.0}, {"other_ms": 3.0}) == float("inf")
