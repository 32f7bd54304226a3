"""The pages Runs, Compare and Versions."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboard.analysis import run_differences
from dashboard.readers.runs import run_records
from dashboard.views.project import versions
from dashboard.views.run import run_table
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page

pytestmark = PAGE_MARKS


def test_runs_are_filtered_and_show_their_results(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "history")
    shown = app.dataframe[0].value
    assert list(shown["recipe"]) == ["int8", "int8"]
    app.text_input(key="find").set_value("epochs").run()
    assert len(app.dataframe[0].value) == 1
    app.text_input(key="find").set_value("nothing like it").run()
    assert any("No run matches" in each.value for each in app.caption)


def test_the_state_filter_is_kept_in_the_url(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "history", states="failed,nonsense")
    assert any("No run matches" in each.value for each in app.caption)
    app.pills[0].set_value(["completed", "failed"]).run()
    assert app.query_params["states"] == "completed,failed"
    assert len(app.dataframe[0].value) == 2
    app.pills[0].set_value([]).run()
    assert "states" not in app.query_params


def test_the_metric_of_a_run_with_several_use_cases_names_its_use_case(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(all_use_cases, tmp_path / "p")
    (path,) = root.glob("runs/*-vision-*/run.json")
    record = json.loads(path.read_text())
    other_record = next(json.loads(other.read_text()) for other in root.glob("runs/*-finance-*/run.json"))
    record |= {"use_cases": ["vision", "finance"], "results": {**record["results"], **other_record["results"]}}
    path.write_text(json.dumps(record))
    renamed = path.parent.rename(path.parent.with_name(path.parent.name.replace("-vision-", "-vision-finance-")))
    app = open_page(monkeypatch, root, "history", find=renamed.name)
    assert list(app.dataframe[0].value["metric"]) == ["Accuracy · Vision"]
    assert any("contains the runs shown here: 1" in each.value for each in app.caption)
    app = open_page(monkeypatch, root, "history", find=renamed.name, of="finance")
    assert list(app.dataframe[0].value["metric"]) == ["QLIKE · Finance"]


def test_a_search_can_be_extended_to_older_runs(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    monkeypatch.setattr(run_table, "MAX_READ", 1)
    app = open_page(monkeypatch, projects["finished"], "history", find=f"-{0:04x}")
    assert any("None of the newest 1 runs matches" in each.value for each in app.caption)
    app.button(key="more").click().run()
    assert len(app.dataframe[0].value) == 1


def test_comparing_shows_only_differences(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "compare")
    assert list(app.dataframe[0].value["name"]) == ["training.seed"]
    app.toggle(key="only").set_value(False).run()
    assert len(app.dataframe[0].value) > 5


def test_a_run_that_lacks_a_recipe_is_named_and_the_others_are_compared(
    monkeypatch: pytest.MonkeyPatch, projects: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(projects["finished"], tmp_path / "p")
    _, newest = sorted((root / "runs").iterdir())
    path = newest / "data" / "vision" / "release" / "table.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "rows": [row for row in table["rows"] if row["recipe"] != "pruned"]}))
    recorded_runs.seal(path.parent)
    for y in ("dense: accuracy", "pruned: accuracy"):
        app = open_page(monkeypatch, root, "compare", view="parameters", y=y)
        assert not app.exception
        lacking = [each.value for each in app.caption if "and so left out" in each.value]
        assert bool(lacking) == y.startswith("pruned")
    assert newest.name[-4:] in lacking[0]


def test_any_two_figures_of_runs_are_drawn_against_each_other(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "compare", view="parameters", x="int8: bytes", y="dense: accuracy")
    assert not app.exception
    assert app.selectbox(key="at_x").value == "int8: bytes"
    (drawing,) = app.get("vega_lite_chart")
    assert "int8: Size" in drawing.proto.spec
    assert "dense: Accuracy" in drawing.proto.spec
    assert not any("grouped by" in each.value for each in app.markdown), "figures are no groups"


def test_runs_are_grouped_by_a_parameter_with_mean_and_spread() -> None:
    frame = pd.DataFrame({"epochs": [3, 3, 8, None], "accuracy": [0.9, 0.8, 0.95, 0.7]})
    groups = run_differences.grouped(frame.astype({"epochs": object}), "epochs", "accuracy").set_index("group")
    assert list(groups.loc["3", ["runs", "mean", "least", "most"]]) == pytest.approx([2, 0.85, 0.8, 0.9])
    assert groups.loc["3", "spread"] == pytest.approx(0.0707107)
    assert pd.isna(groups.loc["8", "spread"])
    assert "–" in groups.index


@pytest.mark.parametrize(("done", "message"), [(True, "restored it"), (False, "changed by hand")])
def test_restoring_a_run_succeeds_or_shows_the_reason(
    monkeypatch: pytest.MonkeyPatch, projects: Any, done: Any, message: Any
) -> None:
    restored = []
    monkeypatch.setattr(versions, "_restore", lambda root, run_id: restored.append(run_id) or (done, message))
    app = open_page(monkeypatch, projects["finished"], "versions", view="versions")
    app.button(key="restore_yes").click().run()
    assert restored == [run_records.run_ids(projects["finished"])[0]]
    assert not app.exception
    assert any(message.capitalize() in each.value for each in (app.success if done else app.warning))
