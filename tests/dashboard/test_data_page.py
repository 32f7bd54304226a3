"""The data page: row counts, failed checks, splits and drift."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.text import translations
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


def test_two_runs_with_equal_rows_have_no_drift(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "data", view="drift")
    assert translations.text("en", "data.drift_none") in page_text(app)


def test_a_column_that_drifts_between_two_runs_has_a_p_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folders = [recorded_runs.finished(root, number=number, use_case="credit") for number in range(2)]
    part = folders[1] / "data" / "credit" / "clean" / "rows" / "part-00000.parquet"
    rows = pd.read_parquet(part)
    rows.assign(income=2 * rows["income"]).to_parquet(part)
    app = open_page(monkeypatch, root, "data", view="drift", uc="credit")
    assert not app.exception
    drift = app.dataframe[0].value.set_index("Column")
    assert drift.loc["income", "p"] == "< 0.0001"
    assert drift.loc["home", "p"] == "1.0000"


def test_stopped_leaks_are_those_of_the_quality_report_by_split(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "data", view="splits", uc="finance")
    leaks = next(each for each in app.metric if each.label == "Leaks prevented")
    assert (leaks.value, leaks.delta) == ("1", "Train 1")


@pytest.mark.parametrize(
    ("use_case", "outcome", "code"), [("nlp", "repaired", "markup"), ("credit", "kept_with_remarks", "missing age")]
)
def test_kept_rows_are_shown_and_repaired_ones_beside_their_raw_values(
    all_use_cases: Any, use_case: Any, outcome: Any, code: Any
) -> None:
    # Streamlit runs the function's source without the imports of this module, and so without annotations that need one.
    def page(root, use_case, outcome, code):  # type: ignore[no-untyped-def]
        from dashboard.readers.artifacts import Artifacts
        from dashboard.readers.runs import run_records
        from dashboard.views.data import quality

        quality.failed_rows(Artifacts(root, run_records.latest(root, use_case)[0].folder, use_case), outcome, code)

    app = AppTest.from_function(
        page, kwargs={"root": all_use_cases, "use_case": use_case, "outcome": outcome, "code": code}
    ).run()
    assert not app.exception
    table = app.dataframe[0].value
    assert len(table) == 1
    assert ("text (raw)" in table) == (outcome == "repaired")


def test_the_selected_check_and_the_page_number_come_from_the_url(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "data", view="quality", reason="unreadable")
    assert any("**Rows** with `unreadable`" in each.value for each in app.markdown)
    app = open_page(monkeypatch, projects["finished"], "results", view="mistakes", recipe="pruned", mistakes_page="2")
    assert not app.exception
