"""Two runs are compared: only what differs is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.maintenance import compare
from tests.support.executed_runs import both_runs


def test_compare_shows_what_differs_and_nothing_else(project: Path, bonsai: Any) -> None:
    first, second = both_runs(project)
    (second.folder / "tasks" / "stages" / "train.py").write_text("# edited\n")
    differences = {(each.about, each.name): (each.left, each.right) for each in compare.compare(first, second)}
    assert differences["parameters", "use_cases.toy.model.width"] == ("(none)", "5")
    assert [name for about, name in differences if about == "code"] == ["tasks/stages/train.py"]
    assert ("stages", "train@toy") in differences
    assert ("stages", "clean@toy") not in differences
    assert not [name for about, name in differences if about == "machine"]
    assert compare.compare(first, first) == []
    code, out, _ = bonsai("compare", first.id, second.id[-4:])
    assert code == 0
    assert "use_cases.toy.model.width" in out
    assert json.loads(bonsai("compare", first.id, second.id, "--json")[1])[0]["about"] == "parameters"
    assert "the same" in bonsai("compare", first.id, first.id)[1]


def test_compare_gives_metrics_with_their_intervals(project: Path) -> None:
    first, second = both_runs(project)
    rows = [{"recipe": "half", "metric": "share", "value": 0.5, "low": 0.4, "high": 0.6}]
    second.record["results"] = {"toy": {"table": {"rows": rows}, "verdict": {"released": "half"}}}
    differences = {each.name: each.right for each in compare.compare(first, second)}
    assert differences["toy half: share"] == "0.5000 (0.4000..0.6000)"
