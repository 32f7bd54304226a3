"""A run as it goes: the live graph, what one stage says, the curves, and what can be done about it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard.analysis.graph_layout import lay_out
from dashboard.charts import theme, training_charts
from dashboard.components.graph import Node, graph, spoken
from dashboard.readers import prefect_api, project_files, run_records, run_status
from dashboard.readers.event_logs import StageEvents
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import Run, StageEntry
from dashboard.readers.run_status import Curves, Stage
from dashboard.text import formatting
from dashboard.ui import locale, page_context, pickers, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import Context
from dashboard.views.run import stage_details, start_form

REFRESH_S = 1.0
AT_ONCE = threading.BoundedSemaphore(2)
"""Pages that are renewed at the same moment: of fifty threads that all compute, none lets the server's own loop send anything."""
FIRST_CURVES = 2
AGAIN = {
    "failed": ("run.retry", ":material/replay:"),
    "crashed": ("run.retry", ":material/replay:"),
    "cancelled": ("run.resume", ":material/play_arrow:"),
}


def watch(run: Run, use_case: str) -> None:
    """The run's part of the page; renews itself while the run is under way, and only then."""
    works = run.live or _folder_works(run, use_case)

    @st.fragment(run_every=REFRESH_S if works else None, key="live")
    def live() -> None:
        with AT_ONCE, page_context.or_say():
            now = run_records.load(run.root, run.id)
            if works and not (now.live or _folder_works(now, use_case)):
                st.rerun()  # once, so that the clock stops and the rest of the page learns of it
            _story(now, use_case)

    live()


def preview(context: Context) -> None:
    """What would run, before anything did."""
    needs = {
        name: wanted
        for name, wanted in run_status.planned(context.root).items()
        if run_records.parts(name)[1] == context.use_case
    }
    if needs:
        nodes = {name: _node(Stage(name, "waiting", StageEntry(), StageEvents(), None)) for name in needs}
        graph(lay_out(needs), nodes, key="preview", alt=t("run.graph_alt", summary=t("stage_state.waiting")))


def _story(run: Run, use_case: str) -> None:
    stages = run_status.stages(run, use_case)
    _header(run, use_case, stages)
    if not stages:
        page_context.nothing("run.none")
        return
    asked = st.query_params.get("stage", "")
    selected = asked if asked in stages else run_status.notable(stages)
    nodes = {name: _node(stage) for name, stage in stages.items()}
    layout = lay_out({name: stage.entry.needs for name, stage in stages.items()})
    picked = graph(layout, nodes, key="graph", alt=t("run.graph_alt", summary=_summary(stages)), selected=selected)
    if picked in stages and picked != asked:
        st.query_params["stage"] = picked
        selected = picked
        st.rerun(scope="fragment")
    _others(run, use_case)
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        _pictures(run, use_case, stages, selected)
    with right, st.container(border=True):
        stage_details.stage(run, stages, selected)


def _header(run: Run, use_case: str, stages: Mapping[str, Stage]) -> None:
    left, right = st.columns([5, 3], vertical_alignment="center")
    with left, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        widgets.badge(run.state)
        if run.id != run_records.WORKSPACE:
            st.markdown(f"`{run.id}`", width="content")
        st.caption(" · ".join(_facts(run)), width="content")
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        _actions(run, use_case)
    if run.record.error:
        told = formatting.sentence(formatting.escape(run.record.error, stage_details.FIRST_WORDS))
        if run.state == "cancelled":
            st.warning(told, icon=":material/block:")
        else:
            st.error(told, icon=":material/error:")
    alike = sorted(run_records.latest(run.root, use_case, 12), key=lambda one: one.record.overrides != run.record.overrides)
    took = run_status.times(alike)
    reached = run_status.progress(stages, took)
    words = [t("run.stages_done", done=reached.done, total=reached.total)]
    if run.live:
        words.append(f"{reached.share:.0%}")
        if reached.seconds_left is not None:
            words.append(t("run.left", time=formatting.duration(reached.seconds_left)))
    if stages and (run.live or reached.done < reached.total):
        st.progress(reached.share if run.live else reached.done / reached.total, " · ".join(words))


def _facts(run: Run) -> list[str]:
    record = run.record
    found = []
    if run.at:
        found.append(t("run.began", time=formatting.clock(run.at, locale.zone())))
    if run.live and record.started_at:
        elapsed = formatting.seconds_between(record.started_at, pd.Timestamp.now("UTC").isoformat())
        found.append(t("run.for_now", time=formatting.duration(elapsed)))
    elif run.wall_s is not None:
        found.append(t("run.took", time=formatting.duration(run.wall_s)))
    if who := record.asked.get("who"):
        found.append(t("run.by", who=formatting.escape(f"{who}, {record.asked.get('how', '')}", 80)))
    if commit := str(record.code.get("commit") or ""):
        dirty = f" {t('run.dirty')}" if record.code.get("dirty") else ""
        found.append(t("run.code", commit=formatting.escape(commit[:8])) + dirty)
    return found


def _actions(run: Run, use_case: str) -> None:
    if run.id == run_records.WORKSPACE:
        return
    if run.live:
        ending = st.session_state.get("ending") == run.id
        with st.popover(
            t("run.cancelling" if ending else "run.cancel"), icon=":material/stop_circle:", key="cancel", disabled=ending
        ):
            st.markdown(t("run.cancel_sure"))
            st.button(t("run.cancel_yes"), type="primary", key="cancel_yes", on_click=_end, args=(run,))
        if told := st.session_state.pop("not_ended", ""):
            st.error(told)
        return
    if st.button(t("run.edit"), icon=":material/edit:", key="edit_run", on_click=_edit, args=(run, use_case)):
        st.rerun()  # the form lies outside of what renews itself here
    label, icon = AGAIN.get(run.state, ("run.again", ":material/refresh:"))
    if st.button(t(label), icon=icon, key="again"):
        record = run.record
        recipes = [] if record.whole else [name for name in record.recipes if name != "dense"]
        start_form.ask(run.root, record.use_cases, recipes, record.overrides)


def _end(run: Run) -> None:
    """Ask for the run's end; what stands in the way is said on the page."""
    try:
        prefect_api.cancel(run.root, run)
        st.session_state["ending"] = run.id
    except Unreadable as trouble:
        st.session_state["not_ended"] = page_context.why(trouble)


def _edit(run: Run, use_case: str) -> None:
    start_form.edit(run, use_case)
    st.toast(t("run.edit_note"))


def _node(stage: Stage) -> Node:
    verb, state = word("stage", stage.verb), t(f"stage_state.{stage.state}")
    if stage.state in run_status.WORKING and stage.share is not None:
        about = f"{stage.share:.0%} · {formatting.duration(stage.seconds)}"
    elif stage.state in (*run_status.WORKING, "done", "failed") and stage.seconds is not None:
        about = (
            formatting.duration(stage.seconds) if stage.state != "failed" else f"{state} · {formatting.duration(stage.seconds)}"
        )
    else:
        about = state
    title, sub = _title(stage.name), f"{verb} · {about}" if stage.recipe else about
    return Node(title, sub, stage.state, spoken(title, sub, state), stage.share)


def _title(name: str) -> str:
    verb, _, recipe = run_records.parts(name)
    return recipe or word("stage", verb)


def _summary(stages: Mapping[str, Stage]) -> str:
    counts: dict[str, int] = {}
    for stage in stages.values():
        counts[stage.state] = counts.get(stage.state, 0) + 1
    return ", ".join(f"{count} {t(f'stage_state.{state}')}" for state, count in counts.items())


def _others(run: Run, use_case: str) -> None:
    """The other use cases of the same run, each in a line."""
    others = [name for name in run.record.use_cases if name != use_case]
    if others:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(t("run.others"), width="content")
            for name in others:
                entries = run_status.stages(run, name)
                reached = run_status.progress(entries, {})
                broken = any(stage.state in run_status.BROKEN for stage in entries.values())
                colour: widgets.Colour = (
                    "red" if broken else "green" if reached.done == reached.total else "blue" if run.live else "gray"
                )
                st.badge(f"{pickers.title(name)} {reached.done}/{reached.total}", color=colour)


def _pictures(run: Run, use_case: str, stages: Mapping[str, Stage], selected: str) -> None:
    drawn, timed = st.tabs([t("run.curves"), t("run.timeline")], key="pictures", on_change="rerun")
    if drawn.open:
        with drawn:
            _curves(run_status.curves(stages) or run_status.known_curves(run, use_case, stages), selected)
    if timed.open:
        with timed:
            _timeline(run, stages)


def _curves(found: Mapping[str, Curves], selected: str) -> None:
    if not found:
        st.caption(t("run.curves_none"))
        return
    name = selected if selected in found else next(iter(found))
    points = pd.DataFrame(
        [(series, step, value) for series, line in found[name].items() for step, value in line],
        columns=["series", "step", "value"],
    )
    kinds = run_status.kinds(found[name])
    st.caption(_title(name) if name == selected else f"{word('stage', run_records.parts(name)[0])} {run_records.parts(name)[2]}")
    shown = [(kind, points[points["series"].isin(series)], series) for kind, series in kinds.items()]
    shown = [(kind, some, series) for kind, some, series in shown if not some.empty]
    with st.grid(2, min_column_width=250):
        for kind, some, series in shown[:FIRST_CURVES]:
            _curve(name, kind, some, series)
    if len(shown) > FIRST_CURVES:
        more = st.expander(t("run.more_curves", count=len(shown) - FIRST_CURVES), key="more_curves", on_change="rerun")
        if more.open:
            with more, st.grid(2, min_column_width=250):
                for kind, some, series in shown[FIRST_CURVES:]:
                    _curve(name, kind, some, series)
    widgets.numbers(points, key="curves", alt_text=t("run.curves_alt", stage=formatting.clean(name)))


def _curve(stage: str, kind: str, points: pd.DataFrame, series: list[str]) -> None:
    few = training_charts.are_few(points, series)
    title = word("curve", kind.replace(" ", "_")).replace("_", " ")
    drawing = training_charts.live_curves(step=t("run.step"), value=title, order=tuple(series), height=200, few=few)
    st.vega_lite_chart(points, drawing, key=f"curve_{kind}", alt=t("run.curves_alt", stage=formatting.clean(stage)))


def _timeline(run: Run, stages: Mapping[str, Stage]) -> None:
    spans = run_status.spans(run, stages)
    if not spans:
        st.caption(t("run.timeline_none"))
        return
    frame = pd.DataFrame(
        {
            "stage": [
                f"{word('stage', run_records.parts(span.stage)[0])} {run_records.parts(span.stage)[2]}".strip() for span in spans
            ],
            "start": [span.start for span in spans],
            "end": [span.end for span in spans],
            "state": [t(f"stage_state.{span.state}") for span in spans],
            "label": [f"{span.stage} · {formatting.duration(span.end - span.start)}" for span in spans],
        }
    )
    colours = {t(f"stage_state.{state}"): colour for state, colour in theme.STATES.items() if state in {s.state for s in spans}}
    widgets.chart(
        training_charts.timeline(frame, colours=colours, seconds=t("run.seconds")),
        frame,
        key="timeline",
        alt_text=t("run.timeline_alt"),
    )


def _folder_works(run: Run, use_case: str) -> bool:
    """Whether something works in the project's own folder, which has no record to say so."""
    if run.id != run_records.WORKSPACE or not project_files.SLUG.fullmatch(use_case):
        return False
    return any(stage.state in run_status.WORKING for stage in run_status.stages(run, use_case).values())
