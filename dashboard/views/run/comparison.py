"""Runs side by side: their differences, training curves, metrics against parameters, and F1 by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import run_differences
from dashboard.analysis.run_differences import MAX_RUNS
from dashboard.charts import comparison_charts, training_charts
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t
from tasks.core.compression import DENSE

MAX_OPTIONS = 60
MAX_AXES = 8
"""The most parameters in the chart of all differences."""


GROUPS = {
    "parameters": run_differences.parameters,
    "outcome": run_differences.test_results,
    "environment": run_differences.environment,
}
"""The groups of rows in the table of differences, and what reads them from a run."""


def choose(root: Path, use_case: str) -> list[Run]:
    """The runs to compare, from the query parameter `runs`; the newest two completed ones by default."""
    offered = {run.id: run for run in run_records.latest(root, use_case, MAX_OPTIONS) if not run.live}
    requested = [name for name in st.query_params.get("runs", "").split(",") if name]
    for run_id in requested:
        if run_id not in offered:
            try:
                offered[run_id] = run_records.load(root, run_id)
            except Unreadable:
                continue
    selected = [run_id for run_id in requested if run_id in offered]
    finished = [run_id for run_id, run in offered.items() if run.state == "completed"]
    st.session_state["compared"] = (selected or finished[:2])[:MAX_RUNS]
    picked = st.multiselect(
        t("compare.chosen"),
        list(offered),
        format_func=lambda run_id: pickers.run_label(offered[run_id]),
        max_selections=MAX_RUNS,
        key="compared",
        on_change=_write_query_param,
    )
    return [offered[run_id] for run_id in picked]


def table(chosen: Sequence[Run], use_case: str) -> None:
    """Parameters, outcome and circumstances of each run."""
    only = st.toggle(t("compare.only"), value=True, key="only", persist_state="session")
    for group in GROUPS:
        frame, missing = group_table(group, chosen, use_case, only_differing=only)
        st.markdown(f"**{t(f'compare.{group}')}**")
        for line in missing:
            st.caption(line)
        if frame.empty:
            st.caption(t("compare.same"))
            continue
        column = {"name": st.column_config.TextColumn(t("compare.name"), pinned=True, width="medium")}
        widgets.table(worded(frame), key=f"compare_{group}", alt_text=t(f"compare.{group}"), columns=column, csv=frame)


def group_table(group: str, chosen: Sequence[Run], use_case: str, *, only_differing: bool) -> tuple[pd.DataFrame, list[str]]:
    """The rows of one of `GROUPS` with a column per run, and a line for each run that has none."""
    columns: dict[str, dict[str, Any]] = {}
    missing = []
    for run, label in zip(chosen, labels(chosen).values(), strict=True):
        try:
            columns[label] = GROUPS[group](run, use_case)
        except Unreadable as error:
            columns[label] = {}
            missing.append(f"{label}: {page_context.error_message(error)}")
    return run_differences.side_by_side(columns, only_differing=only_differing), missing


def curves(chosen: Sequence[Run], use_case: str) -> None:
    """The same training curve of every run."""
    points = run_differences.curves(chosen, use_case)
    if points.empty:
        st.caption(t("compare.no_curves"))
        return
    by_run = labels(chosen)
    names = sorted(points["name"].unique(), key=lambda name: (not name.startswith("validation"), name))
    name = pickers.choose_from("curve", names, t("compare.curve"), names[0], lambda name: locale.word("curve", name))
    points = points[points["name"] == name].assign(series=lambda frame: frame["run"].map(by_run))
    with st.container(border=True):
        drawing = training_charts.curves(
            points, step=t("run.step"), value=locale.word("curve", name), order=list(by_run.values()), height=360
        )
        widgets.chart(
            drawing, points[["series", "name", "step", "value"]], key="overlaid", alt_text=t("compare.curves_alt", name=name)
        )


def parameters(chosen: Sequence[Run], use_case: str) -> None:
    """A metric against the parameters that differ."""
    rows = []
    for run in chosen:
        try:
            settings, outcome = run_differences.parameters(run, use_case), run_differences.test_results(run, use_case)
        except Unreadable:
            continue
        metrics = {name: value for name, value in outcome.items() if isinstance(value, int | float)}
        rows.append({"run": labels(chosen)[run.id], **settings, **metrics})
    frame = pd.DataFrame(rows)
    if len(frame) < 2:
        st.caption(t("compare.too_few"))
        return
    measures = [name for name in frame.columns if ": " in name]
    differing = [name for name in frame.columns if name not in (*measures, "run") and frame[name].map(repr).nunique() > 1]
    if not differing or not measures:
        st.caption(t("compare.same"))
        return
    with st.container(horizontal=True):
        x = pickers.choose_from("x", [*differing, *measures], t("compare.horizontal"), _first_choice(differing), _translated)
        y = pickers.choose_from("y", measures, t("compare.y"), measures[0], _translated)
    points = pd.DataFrame({"run": frame["run"], "x": frame[x], "y": frame[y]}).dropna(subset=["x", "y"])
    if points.empty:
        st.caption(t("compare.nobody_has", name=formatting.escape(y)))
        return
    if absent := sorted(set(frame["run"]) - set(points["run"])):
        st.caption(t("compare.without", runs=formatting.escape(", ".join(absent), 400), name=formatting.escape(y)))
    if not pd.api.types.is_numeric_dtype(points["x"]):
        points["x"] = points["x"].map(lambda value: _cell(x, value))
    with st.container(border=True):
        drawing = comparison_charts.scatter(points, x=_translated(x), y=_translated(y), order=list(points["run"]))
        widgets.chart(
            drawing, points, key="scatter", alt_text=t("compare.scatter_alt", x=formatting.clean(x), y=formatting.clean(y))
        )
    groups = run_differences.grouped(frame, x, y)
    if x in differing and (groups["runs"] > 1).any():
        with st.container(border=True):
            st.markdown(f"**{t('compare.groups', y=formatting.escape(_translated(y)), x=formatting.escape(x))}**")
            columns = {
                name: st.column_config.NumberColumn(t(f"compare.{name}")) for name in ("runs", "mean", "spread", "least", "most")
            }
            columns["group"] = st.column_config.TextColumn(formatting.clean(x, 60))
            measure = y.rpartition(": ")[2]
            formats = {name: lambda value: _cell(f": {measure}", value) for name in ("mean", "spread", "least", "most")}
            widgets.table(groups, key="groups", alt_text=t("compare.groups_alt"), columns=columns, formats=formats)
            st.caption(t("compare.groups_note"))
    complete = frame.dropna(subset=[y])
    if len(differing) > 1 and len(complete) > 1:
        axes = [*(name for name in differing if complete[name].notna().all())][:MAX_AXES]
        with st.container(border=True):
            st.markdown(f"**{t('compare.parallel')}**")
            st.echarts_chart(
                comparison_charts.parallel(complete, [*axes, y], "run"), key="parallel", height=320, alt=t("compare.parallel")
            )
            widgets.chart_data(complete[["run", *axes, y]], key="parallel_numbers", alt_text=t("compare.parallel"))


def classes(chosen: Sequence[Run], use_case: str) -> None:
    """F1 class by class in each run."""
    recipes = sorted({recipe for run in chosen for recipe in _recipes(run, use_case)}, key=lambda name: name != DENSE)
    options = ["", *recipes]
    recipe = pickers.choose_from("recipe", options, t("results.recipe"), "", lambda name: name or t("compare.each_released"))
    scores = run_differences.by_class(chosen, use_case, recipe)
    if scores.empty:
        st.caption(t("compare.no_classes"))
        return
    by_run = labels(chosen)
    frame = scores.assign(series=scores["run"].map(by_run))
    with st.container(border=True):
        drawing = comparison_charts.by_class(
            frame, f1=metric_text.metric_name("f1"), order=list(by_run.values()), kind=t("results.class")
        )
        widgets.chart(drawing, frame, key="by_class", alt_text=t("compare.classes_alt"))


def _first_choice(differing: Sequence[str]) -> str:
    """The parameter to group by at first: one that is no seed, as runs that differ in their seeds alone repeat each other."""
    return next((name for name in differing if not name.endswith((".seed", "seeds", ".fingerprint"))), differing[0])


def labels(chosen: Sequence[Run]) -> dict[str, str]:
    """Short, unique labels of the runs."""
    return {run.id: f"{formatting.local_time(run.at, locale.zone())} · {run.id[-4:]}" for run in chosen}


def _recipes(run: Run, use_case: str) -> list[str]:
    return Artifacts(run.root, run.folder, use_case).recipes()


def _cell(name: str, value: object) -> str:
    """A value in the row of that name, in the form that it has on every page."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return formatting.NOTHING
    if name == "verdict":
        return locale.word("decision", str(value))
    measure = name.rpartition(": ")[2] if ": " in name else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if measure:
            worded = {"ms": formatting.milliseconds, "bytes": formatting.size}
            return worded[measure](value) if measure in worded else metric_text.metric_value(measure, value)
        if name == "seconds":
            return formatting.duration(value)
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    return formatting.clean(value, 200)


def _translated(name: str) -> str:
    """The name of a row; those of results and circumstances are translated, parameters are names in files."""
    if ": " in name:
        recipe, _, measure = name.rpartition(": ")
        named = {"ms": t("results.latency"), "bytes": t("results.size")}
        return f"{recipe}: {named.get(measure) or metric_text.metric_name(measure)}"
    named = {"verdict": t("history.verdict"), "released": t("history.released")}
    return named.get(name) or locale.word("circumstance", name)


def worded(frame: pd.DataFrame) -> pd.DataFrame:
    """The table of names and values as text."""
    names = list(frame["name"])
    cells = {
        column: [_cell(name, value) for name, value in zip(names, frame[column], strict=True)]
        for column in frame.columns
        if column != "name"
    }
    return pd.DataFrame({"name": [_translated(name) for name in names], **cells})


def _write_query_param() -> None:
    st.query_params["runs"] = ",".join(st.session_state["compared"])
