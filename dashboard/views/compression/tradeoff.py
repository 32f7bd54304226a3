"""Accuracy against latency or size: the Pareto front, one recipe in detail, and all recipes in a table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import pareto_front
from dashboard.charts import compression_charts, theme
from dashboard.readers.artifact_models import Row, Table
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, run_status, verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import metric_text, pickers, verdict_view, widgets
from dashboard.ui.locale import t
from dashboard.ui.widgets import Colour
from tasks.core.compression import DENSE, EAGER

STATUS_BADGES: dict[str, tuple[Colour, str]] = {
    "chosen": ("green", ":material/verified:"),
    "kept": ("green", ":material/check:"),
    "not shown": ("yellow", ":material/help:"),
    "broken": ("red", ":material/close:"),
    "baseline": ("gray", ":material/flag:"),
}
COLUMNS = (
    "recipe",
    "kind",
    "status",
    "value",
    "interval",
    "drop",
    "drop_interval",
    "seconds",
    "latency_1",
    "latency_64",
    "over_dense",
    "over_eager",
    "bytes",
    "size_share",
    "parameters",
)
"""Columns of the comparison table, in their order."""


def front(artifacts: Artifacts, run: Run) -> None:
    """Accuracy against a cost; a click on a point shows the figures of its recipe."""
    table = artifacts.table()
    higher = metric_text.higher_is_better(artifacts.use_case)
    cost = _cost()
    points = pareto_front.points(table, cost, pareto_front.cost_intervals(artifacts, table, cost))
    try:
        region = pareto_front.contract_region(table, artifacts.verdict(), cost, higher=higher)
    except Unreadable:
        region = None
    names = [row.recipe for row in table.rows]
    default = next((row.recipe for row in table.rows if row.chosen), names[0])
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.caption(t("compression.front_note"))
        classic = points["kind"] != "recipe"
        labels = points["recipe"].mask(classic, points["recipe"] + f" · {t('decision.classic')}")
        shown = points.assign(status=points["status"].map(_status_label), label=labels)
        colours = {_status_label(name): theme.STATUS.get(name, theme.MUTED) for name in (*theme.STATUS, *points["status"])}
        titles = (t(f"compression.axis_{cost}"), metric_text.axis_title(table.rows[0].metric))
        drawing = compression_charts.pareto(
            shown, pareto_front.front(points, higher=higher), region, titles=titles, colours=colours, higher=higher
        )
        event = st.altair_chart(drawing, key="front", on_select="rerun", selection_mode="point", alt=t("compression.front_alt"))
        widgets.chart_data(points, key="front_numbers", alt_text=t("compression.front_alt"))
    picked = event.selection.get("point") if event else None
    if picked and (clicked := str(picked[0].get("recipe"))) != st.session_state.get("point_seen"):
        st.session_state["point_seen"] = clicked
        st.query_params["recipe"] = clicked
    with right, st.container(border=True, height="stretch"):
        recipe = pickers.choose_from("recipe", names, t("results.recipe"), default)
        _details(artifacts, table, next(row for row in table.rows if row.recipe == recipe))
    _comparison(artifacts, run, table)


def _cost() -> pareto_front.Cost:
    chosen = pickers.choose_from(
        "cost", pareto_front.COSTS, t("compression.against"), "latency_1", lambda name: t(f"compression.{name}"), as_buttons=True
    )
    return next(cost for cost in pareto_front.COSTS if cost == chosen)


def _details(artifacts: Artifacts, table: Table, row: Row) -> None:
    """The figures of one recipe, compared with those of the dense model."""
    status = "chosen" if row.chosen else row.status
    colour, icon = STATUS_BADGES.get(status, ("gray", ":material/circle:"))
    with st.container(horizontal=True, gap="small"):
        st.badge(_status_label(status), color=colour, icon=icon)
        if row.kind != "recipe":
            st.badge(t("decision.classic"), color="blue", icon=":material/functions:")
    drop = t("compression.drop_of", value=metric_text.signed(row.drop.value), low_high=_span(row)) if row.drop else ""
    metric = metric_text.metric_value(row.metric, row.value)
    st.metric(formatting.escape(metric_text.metric_name(row.metric)), metric, drop or None, delta_color="off", delta_arrow="off")
    dense, eager = pareto_front.speedup(row, DENSE), pareto_front.speedup(row, EAGER)
    speedups = " · ".join(
        t("compression.times", ratio=f"{speed.ratio:.1f}", low_high=f"{speed.low:.1f}–{speed.high:.1f}", other=other)
        for speed, other in ((dense, DENSE), (eager, EAGER))
        if speed
    )
    st.metric(t("results.latency"), formatting.milliseconds(pareto_front.cost_of(row, "latency_1")), None)
    if speedups:
        st.caption(speedups)
    share = t("results.of_dense", share=formatting.percent(row.size_share))
    st.metric(t("results.size"), formatting.size(row.bytes), share, delta_color="off", delta_arrow="off")
    with suppress(Unreadable):  # the page shows that error above the views
        candidates = verdicts.of_artifact(artifacts).candidates
        st.caption(next((verdict_view.candidate_reason(each) for each in candidates if each.recipe == row.recipe), ""))


def _comparison(artifacts: Artifacts, run: Run, table: Table) -> None:
    """All recipes in one table."""
    frame = pareto_front.recipe_table(table.rows, _seconds(run, artifacts.use_case))
    metric = metric_text.metric_name(table.rows[0].metric)
    spans = {
        "interval": [formatting.interval(low, high, 4) for low, high in zip(frame["low"], frame["high"], strict=True)],
        "drop_interval": [
            metric_text.signed_interval(low, high) if pd.notna(low) else formatting.NOTHING
            for low, high in zip(frame["drop_low"], frame["drop_high"], strict=True)
        ],
    }
    kinds = frame["kind"].map(lambda kind: t("decision.network" if kind == "recipe" else "decision.classic"))
    shown = frame.assign(status=frame["status"].map(_status_label), kind=kinds, **spans)[list(COLUMNS)]
    if set(frame["kind"]) == {"recipe"}:
        shown = shown.drop(columns="kind")
    number, column = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "recipe": column(t("results.recipe"), pinned=True),
        "kind": column(t("decision.kind")),
        "status": column(t("compression.contract")),
        "value": number(metric),
        "interval": column("95 %"),
        "drop": number(t("compression.drop")),
        "drop_interval": column("95 %"),
        "latency_1": number(t("compression.short_1")),
        "latency_64": number(t("compression.short_64")),
        "over_dense": number(t("compression.over_dense"), format="%.2f×"),
        "over_eager": number(t("compression.over_eager"), format="%.2f×"),
        "bytes": number(t("results.size")),
        "size_share": number(t("compression.share")),
        "parameters": number(t("compression.parameters"), format="localized"),
        "seconds": number(t("compression.seconds")),
    }
    formats: dict[str, Callable[[Any], str]] = {
        "value": lambda value: metric_text.metric_value(table.rows[0].metric, value),
        "drop": metric_text.signed,
        "latency_1": formatting.milliseconds,
        "latency_64": formatting.milliseconds,
        "bytes": formatting.size,
        "size_share": formatting.percent,
        "seconds": formatting.duration,
    }
    widgets.table(shown, key="comparison", alt_text=t("compression.table_alt"), columns=columns, csv=frame, formats=formats)
    st.caption(t("compression.table_note", threads=table.threads, cpu=formatting.escape(table.machine.get("cpu", ""), 80)))


def _seconds(run: Run, use_case: str) -> dict[str, float]:
    """Seconds of training plus compression for each recipe, where both were timed."""
    durations = {name: stage.seconds for name, stage in run_status.stages(run, use_case).items() if stage.seconds is not None}
    earlier = run_status.durations(run_records.latest(run.root, use_case, 12))
    train = durations.get(f"train@{use_case}", earlier.get(f"train@{use_case}"))
    seconds = {}
    for recipe in Artifacts(run.root, run.folder, use_case).recipes():
        name = f"compress@{use_case}-{recipe}"
        own = durations.get(name, earlier.get(name))
        if own is not None and train is not None:
            seconds[recipe] = own + train
    return seconds


def _span(row: Row) -> str:
    return metric_text.signed_interval(row.drop.low, row.drop.high) if row.drop else ""


def _status_label(status: str) -> str:
    """The translated status of a recipe under the contract."""
    return t(f"compression.status_{status.replace(' ', '_')}") if status in STATUS_BADGES else formatting.clean(status, 40)
