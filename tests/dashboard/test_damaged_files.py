"""Damaged files: the pages that read them show a message, never an unexpected exception."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import page_files
from dashboard.readers import prefect_api
from dashboard.readers.runs import run_records
from dashboard.ui import page_context
from tests.support import dashboard_scenarios, recorded_runs
from tests.support.dashboard_pages import APP

READERS: dict[str, dict[str, Any]] = {
    "release/table.json": {"compression": ("front",), "compare": ("table", "parameters")},
    "release/verdict.json": {"compression": ("front", "flipped", "bundle"), "results": ("standings",)},
    "latency/latency.json": {"compression": ("timing",), "results": ("standings",)},
    "clean/ledger.json": {"data": ("quality", "splits")},
    "augmented/report.json": {"data": ("augmentation",)},
    "model/curves.json": {"compare": ("curves",)},
}
REPORTS = {
    "vision": ("confusion", "per_class", "thresholds", "calibration", "mistakes", "standings"),
    "nlp": ("label_errors",),
    "finance": ("forecast", "coverage", "account", "periods", "standings"),
    "credit": ("separation", "costs", "groups"),
}
TABLES: dict[str, dict[str, Any]] = {
    "clean/quarantine": {"data": ("quality",)},
    "clean/rows": {"data": ("columns", "drift", "quality"), "results": ("mistakes",), "try_it": (None,)},
    "augmented/preview": {"data": ("augmentation",)},
    "raw": {"data": ("columns",)},
}
QUICK = ("release/table.json", "clean/ledger.json")
WHOLE = ("", "{}", "[]", "null", "3")
ODD: tuple[Any, ...] = (None, 3, "x", [], {}, [None], {"x": None})

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project in which every use case has run, the first of them twice."""
    root = recorded_runs.project(tmp_path_factory.mktemp("damage") / "p")
    for number, name in enumerate([*dashboard_scenarios.names(), "vision"]):
        recorded_runs.finished(root, number=number, use_case=name)
    return root


@pytest.fixture
def root(grown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    root = shutil.copytree(grown, tmp_path / "p")
    monkeypatch.chdir(root)
    main = sys.modules["__main__"]
    with patch.object(prefect_api, "server", lambda root: None):
        yield root
    sys.modules["__main__"] = main  # AppTest leaves its script there


class Reader:
    """A visitor who goes through pages and views, and takes note of what is said."""

    def __init__(self, use_case: Any) -> None:
        self.use_case = use_case
        self.app = AppTest.from_file(APP, default_timeout=240)
        self.app.query_params["uc"] = use_case
        self.app.run()

    def look(self, page: Any, name: Any) -> Any:
        """All sentences of a view."""
        self.app.switch_page(page_files.script(page))
        for key, value in {"uc": self.use_case, "view": name, "recipe": "int8" if page == "results" else None}.items():
            if value:
                self.app.query_params[key] = value
        self.app.run()
        assert not self.app.exception, (page, name)
        kinds = ("info", "warning", "error", "caption", "markdown")
        return "\n".join(each.value for kind in kinds for each in self.app.get(kind)).replace("\\", "")


def place(root: Any, use_case: Any, name: Any) -> Any:
    """The newest run's file of that name."""
    run_ids = [run_id for run_id in run_records.run_ids(root) if f"-{use_case}-" in run_id]
    return root / "runs" / run_ids[0] / "data" / use_case / name


def foreseen(caplog: pytest.LogCaptureFixture) -> Any:
    """Whether all that went wrong was said in a sentence of its own."""
    return not [record for record in caplog.records if record.name == page_context.LOG.name]


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in READERS])
def test_a_file_that_holds_something_else_is_named_in_a_sentence(root: Any, caplog: pytest.LogCaptureFixture, name: Any) -> None:
    path, reader = place(root, "vision", name), Reader("vision")
    whole = path.read_text()
    for content in (*WHOLE, whole[: len(whole) // 2]):
        path.write_text(content)
        for page, views in READERS[name].items():
            texts = [reader.look(page, view_name) for view_name in views]
            harmless = name in ("augmented/report.json", "model/curves.json") or (name, page) in (
                ("latency/latency.json", "results"),
                ("release/verdict.json", "results"),
            )
            assert harmless or any(path.name in words for words in texts), (page, content)
    assert foreseen(caplog)


def parts(value: Any, most: Any = 4) -> Iterator[Any]:
    """The ways to each part of nested JSON, of lists only to the first item."""
    if isinstance(value, dict) and most:
        for key, inner in value.items():
            yield from ((key, *way) for way in [(), *parts(inner, most - 1)])
    elif isinstance(value, list) and value and most:
        yield from ((0, *way) for way in [(), *parts(value[0], most - 1)])


def damaged(text: Any, way: Any, odd: Any) -> Any:
    """The JSON with another value at the end of the way, or without it."""
    content = json.loads(text)
    inner = content
    for key in way[:-1]:
        inner = inner[key]
    if odd == "gone":
        del inner[way[-1]]
    else:
        inner[way[-1]] = odd
    return json.dumps(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_value_of_another_kind_anywhere_in_a_file_is_foreseen(root: Any, caplog: pytest.LogCaptureFixture, name: Any) -> None:
    path, reader = place(root, "vision", name), Reader("vision")
    whole = path.read_text()
    for number, way in enumerate(parts(json.loads(whole))):
        for odd in ("gone", ODD[number % len(ODD)]):
            path.write_text(damaged(whole, way, odd))
            for page, views in READERS[name].items():
                for view_name in views:
                    reader.look(page, view_name)
                    assert foreseen(caplog), (page, view_name, way, odd)


@pytest.mark.slow
@pytest.mark.parametrize("use_case", REPORTS)
def test_a_value_of_another_kind_anywhere_in_a_report_is_foreseen(
    root: Any, caplog: pytest.LogCaptureFixture, use_case: Any
) -> None:
    path, reader = place(root, use_case, "evaluations/int8/metrics.json"), Reader(use_case)
    whole = path.read_text()
    short = json.loads(whole)
    for name in ("splits", "against_dense"):
        short[name].pop("validation", None)
    for number, way in enumerate(parts(short, 5)):
        path.write_text(damaged(whole, way, "gone" if number % 3 == 0 else ODD[number % len(ODD)]))
        views = REPORTS[use_case]
        pages: list[Any] = [("compression", ("damage", "flipped"))] if way[0] == "against_dense" else [("results", views)]
        if len(way) > 3:
            pages = [(page, [views[number % len(views)]]) for page, views in pages]
        for page, shown in pages:
            for view_name in shown:
                reader.look(page, view_name)
                assert foreseen(caplog), (view_name, way)


QUICK_REPORTS = (
    ("vision", ("splits", "test", "report", "confusion"), [[1, 2], [3, 4]], "confusion"),
    ("vision", ("splits", "test", "report", "calibration", "bins", 0, "confidence"), "gone", "calibration"),
    ("finance", ("splits", "test", "report", "backtest", "held", "sharpe"), "gone", "account"),
    ("finance", ("splits", "test", "report", "coverage", 0, "level"), None, "coverage"),
    ("credit", ("splits", "test", "report", "event"), "nobody", "separation"),
)


@pytest.mark.parametrize(("use_case", "way", "odd", "name"), QUICK_REPORTS)
def test_a_report_of_another_shape_is_a_sentence(
    root: Any, caplog: pytest.LogCaptureFixture, use_case: Any, way: Any, odd: Any, name: Any
) -> None:
    path = place(root, use_case, "evaluations/int8/metrics.json")
    path.write_text(damaged(path.read_text(), way, odd))
    assert "metrics.json has an unexpected structure" in Reader(use_case).look("results", name)
    assert foreseen(caplog)


def test_a_flipped_row_without_predictions_is_an_error_message(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = place(root, "vision", "evaluations/int8/metrics.json")
    path.write_text(damaged(path.read_text(), ("against_dense", "test", "flipped", 0, "own"), None))
    assert "metrics.json" in Reader("vision").look("compression", "flipped")
    assert foreseen(caplog)


def test_a_recipe_that_stands_otherwise_than_known_is_shown_with_that_word(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = place(root, "vision", "release/table.json")
    path.write_text(damaged(path.read_text(), ("rows", 2, "status"), "promising"))
    recorded_runs.seal(path.parent)
    reader = Reader("vision")
    reader.look("compression", "front")
    assert "promising" in list(reader.app.dataframe[0].value["status"])
    assert foreseen(caplog)


def lacks(path: Any, change: Any) -> None:
    frame = pd.read_parquet(path)
    change(frame).to_parquet(path, index=False)


LOST_ROWS = {"no rows": lambda rows: rows.head(0), "no test rows": lambda rows: rows[rows["split"] != "test"]}
LOST_COLUMNS = {
    "vision": ("label", "predicted", "confidence", "probabilities", "pixels"),
    "finance": ("ticker", "next_date", "variance", "quantile_5"),
    "credit": ("label", "probabilities"),
}


@pytest.mark.parametrize("use_case", LOST_COLUMNS)
def test_predictions_without_rows_or_columns_are_a_sentence(root: Any, caplog: pytest.LogCaptureFixture, use_case: Any) -> None:
    path = place(root, use_case, "evaluations/int8/predictions") / "part-00000.parquet"
    whole, reader, views = path.read_bytes(), Reader(use_case), REPORTS[use_case]
    views = {"vision": ("confusion", "thresholds", "mistakes"), "finance": ("forecast",), "credit": ("separation",)}[use_case]
    for change in LOST_ROWS.values():
        path.write_bytes(whole)
        lacks(path, change)
        for name in views:
            assert "int8/predictions has no test rows" in reader.look("results", name)
    for column in LOST_COLUMNS[use_case]:
        path.write_bytes(whole)
        lacks(path, lambda rows, column=column: rows.drop(columns=column))
        text = "\n".join(reader.look("results", name) for name in views)
        assert column == "pixels" or f"no column {column}" in text
    path.write_bytes(whole)
    lacks(path, lambda rows: rows.assign(**{rows.columns[-1]: "x"}))
    for name in views:
        reader.look("results", name)
    assert foreseen(caplog)


@pytest.mark.slow
@pytest.mark.parametrize("use_case", REPORTS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_or_columns_is_foreseen(
    root: Any, caplog: pytest.LogCaptureFixture, name: Any, use_case: Any
) -> None:
    path, reader = place(root, use_case, name) / "part-00000.parquet", Reader(use_case)
    whole = path.read_bytes()
    frame = pd.read_parquet(path)
    changed = [frame.head(0), *(frame.drop(columns=column) for column in frame.columns)]
    changed += [frame.assign(**{column: None}) for column in frame.columns]
    for number, rows in enumerate(changed):
        path.write_bytes(whole)
        rows.to_parquet(path, index=False)
        for page, views in TABLES[name].items():
            for view_name in views:
                reader.look(page, view_name)
                if page == "try_it":
                    caplog.clear()  # the use case's own code reads these rows, and may fail in ways of its own
                assert foreseen(caplog), (page, view_name, number, list(frame.columns))


def test_a_record_with_times_that_are_none_is_listed_and_versioned(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = root / "runs" / run_records.run_ids(root)[0] / "run.json"
    path.write_text(damaged(path.read_text(), ("started_at",), "yesterday"))
    reader = Reader("vision")
    for page, name in (("versions", "versions"), ("history", None), ("compare", "table"), ("run", None)):
        reader.look(page, name)
    assert foreseen(caplog)


@pytest.mark.slow
def test_a_record_with_a_value_of_another_kind_anywhere_is_foreseen(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    path, reader = root / "runs" / run_records.run_ids(root)[0] / "run.json", Reader("vision")
    whole = path.read_text()
    for number, way in enumerate(parts(json.loads(whole), 3)):
        if len(way) > 2 and way[0] == "stages" and not way[1].startswith(("fetch", "train")):
            continue
        path.write_text(damaged(whole, way, "gone" if number % 3 == 0 else ODD[number % len(ODD)]))
        for page, name in (("versions", "versions"), ("history", None), ("run", None)):
            reader.look(page, name)
            assert foreseen(caplog), (page, way)


def test_what_nobody_foresaw_is_a_sentence_too_and_the_whole_of_it_is_in_the_log(
    root: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(found: Any, context: Any) -> None:
        raise ZeroDivisionError("by <b>nothing</b>")

    with patch("dashboard.views.data.quality.row_counts", broken), caplog.at_level(logging.ERROR):
        text = Reader("vision").look("data", "quality")
    assert "ZeroDivisionError: by <b>nothing" in text
    (record,) = [record for record in caplog.records if record.name == page_context.LOG.name]
    assert record.exc_info[0] is ZeroDivisionError
