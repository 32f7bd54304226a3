"""The results table of a run."""

from __future__ import annotations

import io

from rich.console import Console

from flows.reporting.results_table import print_results, table_cells
from flows.reporting.verdicts import of_record


def test_the_table_shows_intervals_sizes_and_the_chosen_one() -> None:
    speed = {"ratio": 3.344, "low": 3.21, "high": 3.44}
    rows = [
        {"recipe": "dense", "metric": "accuracy", "value": 0.98, "low": 0.97, "high": 0.99, "bytes": 589584, "drop": None},
        {
            "recipe": "int8",
            "metric": "accuracy",
            "value": 0.97,
            "low": 0.96,
            "high": 0.98,
            "bytes": 53062,
            "chosen": True,
            "drop": {"value": 0.01, "low": -0.01, "high": 0.02},
            "latency_ms": {"1": {"median_ms": 0.0967}},
            "speedup_over": {"dense": {"1": speed}},
        },
    ]
    console = Console(width=200, file=io.StringIO())
    release = {"table": {"rows": rows}, "verdict": {"released": "int8", "reason": "released 'int8'"}}
    record = {"state": "Completed", "use_cases": ["vision"], "results": {"vision": release}}
    print_results(record["results"], of_record(record), console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("0.9700 (0.9600..0.9800)", "+0.0100 (-0.0100..+0.0200)", "53.1", "0.0967", "3.34 (3.21..3.44)", "chosen"):
        assert part in output
    assert "x eager" not in output, "a column that nobody fills is left out"


def test_a_classic_baseline_is_marked_in_the_table() -> None:
    rows = [{"recipe": "logistic", "metric": "auc", "value": 0.9, "kind": "baseline"}, {"recipe": "int8", "metric": "auc"}]
    assert [cells["recipe"] for cells in table_cells(rows)] == ["logistic (classic)", "int8"]
