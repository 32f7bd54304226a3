"""The split of the rows into train, validation and test."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.analysis import column_drift
from dashboard.charts import data_charts
from dashboard.readers.artifacts import Artifacts
from dashboard.text import formatting
from dashboard.ui import locale, page_context, widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext
from dashboard.views.data.quality import QUARANTINED, failed_rows, share_of

LEAK = "leak"
"""Code of the check that stops near-duplicates in two splits."""


def splits(artifacts: Artifacts, context: PageContext) -> None:
    """The size of each split, its class balance or the distribution of a numeric label, and the stopped leaks between splits."""
    report = artifacts.quality_report()
    near_duplicates, leaks = report.near_duplicates, sum(report.leaks.values())
    widgets.cards(
        {
            t("data.train"): (
                formatting.number(report.splits.get("train", 0)),
                share_of(report.splits.get("train"), report.kept),
            ),
            t("data.validation"): (
                formatting.number(report.splits.get("validation", 0)),
                share_of(report.splits.get("validation"), report.kept),
            ),
            t("data.test"): (formatting.number(report.splits.get("test", 0)), share_of(report.splits.get("test"), report.kept)),
            t("data.leaks"): (formatting.number(leaks), _by_split(report.leaks)),
        }
    )
    st.caption(t("data.leaks_note"))
    if LEAK in report.reasons:
        box = st.expander(t("data.leaks_rows"), icon=":material/table_rows:", key="leaks", on_change="rerun")
        if box.open:
            with box, page_context.error_boundary():
                failed_rows(artifacts, QUARANTINED, LEAK)
    st.caption(
        t(
            "data.near_duplicates",
            rows=formatting.number(near_duplicates.get("rows", 0)),
            groups=formatting.number(near_duplicates.get("groups", 0)),
        )
    )
    if report.contradictions:
        st.warning(t("data.contradictions", count=report.contradictions), icon=":material/warning:")
    if not report.classes:
        _label_distribution(artifacts)
        return
    frame = pd.DataFrame(
        [(name, split, count) for name, counts in report.classes.items() for split, count in counts.items()],
        columns=["class", "split", "rows"],
    )
    with st.container(border=True):
        st.markdown(f"**{t('data.balance')}**")
        labels = {name: t(f"data.{name}") for name in ("train", "validation", "test")}
        drawing = data_charts.stacked(
            frame.replace({"split": labels}),
            x="class",
            y="rows",
            colour="split",
            order=list(labels.values()),
            title=t("data.rows"),
        )
        widgets.chart(drawing, frame, key="balance", alt_text=t("data.balance"))


def _label_distribution(artifacts: Artifacts) -> None:
    """The histogram of a numeric label in each split."""
    rows = artifacts.rows("clean/rows", ["label", "split"])
    if not {"label", "split"} <= set(rows.columns) or pd.to_numeric(rows["label"], errors="coerce").isna().any():
        st.caption(t("data.no_classes"))
        return
    tables = {t(f"data.{name}"): rows.loc[rows["split"] == name, "label"] for name in ("train", "validation", "test")}
    bins = column_drift.histogram(tables, "numbers")
    with st.container(border=True):
        st.markdown(f"**{t('data.label_distribution')}**")
        drawing = data_charts.histogram(bins, share=t("data.share"), order=list(tables), title=t("data.axis_numbers"))
        widgets.chart(drawing, bins, key="label_distribution", alt_text=t("data.label_distribution"))


def _by_split(leaks: dict[str, int]) -> str:
    """The number of stopped leaks by split."""
    return " · ".join(f"{locale.word('data', split)} {formatting.number(count)}" for split, count in leaks.items())
