"""Results of a regression: predicted against actual numbers, quantiles of the error, and the largest errors."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import regression_charts
from dashboard.readers.artifact_models import SplitMetrics, parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.report_models import RegressionErrors, RegressionReport
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import robustness, summary

MEDIAN = 0.5
RANGES = ((0.25, 0.75), (0.05, 0.95), (0.01, 0.99))
"""Levels between which the middle rows lie, by error."""


def matches(report: dict[str, Any]) -> bool:
    """Whether a report is a regression's."""
    return "errors" in report and "confusion" not in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """The views of a regression's results."""
    views = {"calibration": calibration, "quantiles": quantiles, "largest": largest}
    chosen = pickers.choose_view([*views, *robustness.offered(artifacts, recipe), "standings"], "regression")
    with page_context.error_boundary():
        if chosen == "robustness":
            robustness.show(artifacts, recipe)
        elif chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
        else:
            views[chosen](parse_as(split_metrics.report, RegressionReport, "metrics.json").errors)


def calibration(errors: RegressionErrors) -> None:
    """The mean actual against the mean predicted value, in tenths of the rows."""
    frame = _frame(errors.tenths)
    with st.container(border=True):
        st.markdown(f"**{t('regression_view.calibration')}**")
        st.caption(t("regression.calibration_note"))
        titles = (t("regression.mean_predicted"), t("regression.mean_actual"))
        drawing = regression_charts.calibration(frame, x="predicted", y="actual", titles=titles, height=360)
        widgets.chart(drawing, frame, key="tenths", alt_text=t("regression_view.calibration"))


def quantiles(errors: RegressionErrors) -> None:
    """The median error, the ranges of the middle rows, and the quantiles as a chart."""
    frame = _frame(errors.quantiles)
    by_level = {each.level: each.error for each in errors.quantiles}
    cards = {t("regression.median_error"): (formatting.significant(by_level.get(MEDIAN)), "")}
    for low, high in RANGES:
        if low in by_level and high in by_level:
            label = t("regression.middle_rows", share=formatting.percent(high - low, 0))
            cards[label] = (f"[{formatting.significant(by_level[low])}, {formatting.significant(by_level[high])}]", "")
    widgets.cards(cards, columns=2)
    with st.container(border=True):
        st.caption(t("regression.quantiles_note"))
        titles = (t("data.share"), t("column.error"))
        drawing = regression_charts.error_quantiles(frame, titles=titles)
        widgets.chart(drawing, frame, key="error_quantiles", alt_text=t("regression_view.quantiles"))


def largest(errors: RegressionErrors) -> None:
    """The rows with the largest errors, the largest first."""
    frame = _frame(errors.largest).dropna(axis="columns", how="all")
    frame = frame.assign(error=frame["predicted"] - frame["actual"])
    st.caption(t("regression.largest_note", rows=formatting.number(len(frame))))
    columns = {name: st.column_config.NumberColumn(t(f"column.{name}"), format="%.6g") for name in ("actual", "predicted")}
    columns["error"] = st.column_config.NumberColumn(t("column.error"), format="%+.6g")
    widgets.table(frame, key="largest_errors", alt_text=t("regression_view.largest"), columns=columns)


def _frame(rows: Any) -> pd.DataFrame:
    """The rows of a report as a table; raises `Unreadable` where there are none."""
    if not rows:
        raise Unreadable("unreadable.shape", file="metrics.json")
    return pd.DataFrame([row.model_dump() for row in rows])
