"""The charts of the run page: the training curves of a stage, and the timeline of all stages."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import theme, training_charts
from dashboard.readers.runs import run_records, run_status
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t, word
from dashboard.views.run import machine_usage

MAX_FIRST_CURVES = 2
"""Charts that are always visible; the others are in an expander."""


def charts(snapshot: RunSnapshot, selected: str) -> None:
    """The curves of the selected stage, the timeline, and the machine below the timeline, in tabs."""
    names = [t("run.curves"), t("run.timeline"), t("machine.title")]
    curves_tab, timeline_tab, machine_tab = st.tabs(names, key="pictures", on_change="rerun")
    if curves_tab.open:
        with curves_tab:
            _curves(snapshot, selected)
    if timeline_tab.open:
        with timeline_tab:
            _timeline(snapshot)
    if machine_tab.open:
        with machine_tab:
            machine_usage.show(snapshot, _timeline(snapshot, machine_usage.seconds(snapshot)))


def _curves(snapshot: RunSnapshot, selected: str) -> None:
    """The curves of the selected stage, or of the first stage that has some."""
    if not snapshot.curves:
        st.caption(t("run.curves_none"))
        return
    name = selected if selected in snapshot.curves else next(iter(snapshot.curves))
    lines = snapshot.curves[name]
    points = pd.DataFrame(
        [(series, step, value) for series, line in lines.items() for step, value in line], columns=["series", "step", "value"]
    )
    st.caption(run_records.stage_parts(name)[2] or _stage_label(name) if name == selected else _stage_label(name))
    by_kind = [(kind, points[points["series"].isin(series)], series) for kind, series in run_status.curves_by_kind(lines).items()]
    by_kind = [(kind, rows, series) for kind, rows, series in by_kind if not rows.empty]
    with st.grid(2, min_column_width=250):
        for kind, rows, series in by_kind[:MAX_FIRST_CURVES]:
            _curve(name, kind, rows, series)
    if len(by_kind) > MAX_FIRST_CURVES:
        more = st.expander(t("run.more_curves", count=len(by_kind) - MAX_FIRST_CURVES), key="more_curves", on_change="rerun")
        if more.open:
            with more, st.grid(2, min_column_width=250):
                for kind, rows, series in by_kind[MAX_FIRST_CURVES:]:
                    _curve(name, kind, rows, series)
    widgets.chart_data(points, key="curves", alt_text=t("run.curves_alt", stage=formatting.clean(name)))


def _curve(stage: str, kind: str, points: pd.DataFrame, series: list[str]) -> None:
    few = training_charts.are_few(points, series)
    title = word("curve", kind.replace(" ", "_")).replace("_", " ")
    drawing = training_charts.live_curves(step=t("run.step"), value=title, order=tuple(series), height=200, few=few)
    st.vega_lite_chart(points, drawing, key=f"curve_{kind}", alt=t("run.curves_alt", stage=formatting.clean(stage)))


def _timeline(snapshot: RunSnapshot, end: float = 0.0) -> float:
    """When each stage worked, in seconds since the run started, at least up to `end`; returns the last second shown."""
    spans = run_status.spans(snapshot.run, snapshot.stages, now=snapshot.read_at)
    if not spans:
        st.caption(t("run.timeline_none"))
        return end
    end = max(end, *(span.end for span in spans))
    frame = pd.DataFrame(
        {
            "stage": [_stage_label(span.stage) for span in spans],
            "start": [span.start for span in spans],
            "end": [span.end for span in spans],
            "state": [t(f"stage_state.{span.state}") for span in spans],
            "label": [f"{span.stage} · {formatting.duration(span.end - span.start)}" for span in spans],
        }
    )
    states = {span.state for span in spans}
    colours = {t(f"stage_state.{state}"): colour for state, colour in theme.STATES.items() if state in states}
    widgets.chart(
        training_charts.timeline(frame, colours=colours, seconds=t("run.seconds"), end=end),
        frame,
        key="timeline",
        alt_text=t("run.timeline_alt"),
    )
    return end


def _stage_label(name: str) -> str:
    """A stage's verb and recipe."""
    verb, _, recipe = run_records.stage_parts(name)
    return f"{word('stage', verb)} {recipe}".strip()
