"""The distribution of columns: before and after cleaning, and in this run and another."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.analysis import column_drift
from dashboard.charts import data_charts
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs import run_records
from dashboard.text import formatting
from dashboard.ui import pickers, widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext


def before_and_after(artifacts: Artifacts, context: PageContext) -> None:
    """The histogram of one column before and after cleaning."""
    raw, clean = column_drift.plottable_columns(artifacts, "raw"), column_drift.plottable_columns(artifacts, "clean/rows")
    shared = [name for name in clean if name in raw]
    if not shared:
        st.caption(t("data.no_columns"))
        return
    name = pickers.choose_from("column", shared, t("data.column"), shared[0], as_buttons=True)
    before, after = artifacts.rows("raw", [name])[name], artifacts.rows("clean/rows", [name])[name]
    kind = column_drift.kind(after) or column_drift.kind(before)
    if kind is None:
        st.caption(t("data.no_scale", column=formatting.escape(name)))
        return
    tables = {t("data.before"): before, t("data.after"): after}
    bins = column_drift.histogram(tables, kind)
    with st.container(border=True):
        st.markdown(f"**{formatting.escape(name)}**")
        st.caption(t(f"data.scale_{kind}") + " " + _missing_shares(before, after))
        drawing = data_charts.histogram(bins, share=t("data.share"), order=list(tables), title=t(f"data.axis_{kind}"))
        widgets.chart(drawing, bins, key=f"columns_{name}", alt_text=t("data.columns_alt", column=formatting.clean(name)))


def drift(artifacts: Artifacts, context: PageContext) -> None:
    """The drift of each column between this run's clean rows and another run's."""
    assert context.run
    others = [run for run in run_records.latest(context.root, context.use_case) if run.id != context.run.id]
    if not others:
        st.caption(t("data.drift_alone"))
        return
    by_id = {run.id: run for run in others}
    chosen = pickers.choose_from(
        "against", list(by_id), t("data.against"), others[0].id, lambda run_id: pickers.run_label(by_id[run_id])
    )
    other = Artifacts(context.root, by_id[chosen].folder, context.use_case)
    candidates = [*column_drift.plottable_columns(artifacts, "clean/rows"), column_drift.PICTURE]
    shared = [name for name in candidates if all(name in each.columns("clean/rows") for each in (artifacts, other))]
    pairs = {name: (other.rows("clean/rows", [name])[name], artifacts.rows("clean/rows", [name])[name]) for name in shared}
    if pairs and all(then.equals(now) for then, now in pairs.values()):
        st.info(t("data.drift_none"), icon=":material/equal:")
        return
    drifts = [column_drift.drift(name, then, now) for name, (then, now) in pairs.items() if name != column_drift.PICTURE]
    frame = pd.DataFrame(
        [
            {
                t("data.column"): each.column,
                t("data.verdict"): t(f"data.{each.verdict}"),
                "PSI": each.psi,
                t("data.distance"): each.distance,
                "p": formatting.p_value(each.p_value),
                t("data.rows_then"): each.rows[0],
                t("data.rows_now"): each.rows[1],
            }
            for each in sorted(filter(None, drifts), key=lambda each: -each.psi)
        ]
    )
    st.caption(t("data.drift_note", stable=column_drift.STABLE_BELOW, significant=column_drift.SIGNIFICANT_ABOVE))
    if frame.empty:
        st.caption(t("data.no_columns"))
        return
    number = st.column_config.NumberColumn(format="%.4f")
    widgets.table(frame, key="drift", alt_text=t("data.drift"), columns={"PSI": number, t("data.distance"): number})


def _missing_shares(before: pd.Series, after: pd.Series) -> str:
    return t(
        "data.missing",
        before=formatting.percent(float(before.isna().mean())),
        after=formatting.percent(float(after.isna().mean())),
        rows_before=formatting.number(len(before)),
        rows_after=formatting.number(len(after)),
    )
