"""Charts: every label is shown, significant changes are outlined, latencies have confidence intervals."""

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboard.analysis import pareto_front
from dashboard.charts import classification_charts, comparison_charts, compression_charts, theme, training_charts
from dashboard.readers.artifacts import Artifacts
from tests.support import recorded_runs

NAMES = [f"name {number}" for number in range(12)]


def charts_of_names() -> Any:
    """A chart of each kind whose rows are names."""
    rows = pd.DataFrame(
        {"name": NAMES, "class": NAMES, "recipe": NAMES, "stage": NAMES, "kind": "k", "series": "s", "state": "d"}
    )
    numbers = {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "share": 0.1,
        "f1": 0.5,
        "support": 9,
        "median": 1.0,
        "p95": 2.0,
        "drop": 0.1,
    }
    rows = rows.assign(**numbers, start=0.0, end=1.0, label="", rows=5)
    cells = pd.DataFrame([(a, b, 1, 0.1) for a in NAMES for b in NAMES], columns=["truth", "answer", "rows", "share"])
    return {
        "confusion": classification_charts.confusion(cells, NAMES, truth="truth", answer="answer"),
        "standings": classification_charts.metric_intervals(rows, value="accuracy", order=["k"]),
        "bars": classification_charts.bars(rows, share="share"),
        "by_class": comparison_charts.by_class(rows, f1="F1", order=["s"], kind="class"),
        "timeline": training_charts.timeline(rows, colours={"d": "#000000"}, seconds="s", end=2.0),
        "damage": compression_charts.class_changes(rows, kind="class", scheme="dark"),
        "latency": compression_charts.latency(rows, median="ms", p95="p95", scheme="light"),
    }


@pytest.mark.parametrize("name", charts_of_names())
def test_each_row_of_names_has_its_own_height_and_none_is_left_out(name: Any) -> None:
    drawn = charts_of_names()[name].to_dict()
    across = [layer["encoding"]["y"]["axis"] for layer in drawn.get("layer", [drawn]) if "axis" in layer["encoding"]["y"]]
    assert drawn["height"]["step"] >= 14
    assert drawn["autosize"]["type"] == "fit-x"
    assert across
    assert all(axis["labelOverlap"] is False for axis in across)


def test_names_beside_each_other_lie_aslant_when_they_would_meet_and_thin_out_only_when_they_are_many() -> None:
    assert theme.x_axis_of_names(["0", "1", "2"]).to_dict()["labelAngle"] == 0
    few = theme.x_axis_of_names(["some long name", "another long name", "and one more"]).to_dict()
    assert (few["labelAngle"], few["labelOverlap"]) == (-45, False)
    assert theme.x_axis_of_names([f"name {number}" for number in range(100)]).to_dict()["labelOverlap"] is True


def test_a_class_is_marked_where_its_interval_leaves_out_no_change() -> None:
    changes = pd.DataFrame({"low": [0.1, -0.1, -0.3], "high": [0.3, 0.2, -0.1]})
    assert list(compression_charts.significant_changes(changes)) == [True, False, True]


def test_the_front_has_the_intervals_of_what_was_measured_with_a_clock(tmp_path: Path) -> None:
    folder = recorded_runs.finished(recorded_runs.project(tmp_path / "p"))
    artifacts = Artifacts(tmp_path / "p", folder, "vision")
    table = artifacts.table()
    timed, sized = (
        pareto_front.points(table, cost, pareto_front.cost_intervals(artifacts, table, cost)) for cost in ("latency_1", "size")
    )
    assert (timed["cost_low"] <= timed["cost"]).all()
    assert (timed["cost"] <= timed["cost_high"]).all()
    assert sized["cost_low"].isna().all()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ten_classes_have_ten_colours_that_differ(scheme: str) -> None:
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
    colours = config["theme"][scheme]["chartCategoricalColors"]
    assert len(colours) == 10
    channels = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]
    distances = [sum(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in itertools.combinations(channels, 2)]
    assert min(distances) > 60
