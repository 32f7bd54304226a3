"""A run and its stages on the run page, refreshed while the run is under way."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import streamlit as st

from dashboard.analysis.graph_layout import compute_layout
from dashboard.components.graph import Node, accessible_label, graph
from dashboard.components.notification import notification
from dashboard.readers.runs import run_records, run_status, verdicts
from dashboard.readers.runs.event_logs import StageEvents
from dashboard.readers.runs.run_records import Run, StageEntry
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.readers.runs.run_status import Stage
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, verdict_view, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext
from dashboard.views.run import outcome_card, run_charts, run_header, stage_details

REFRESH_S = 1.0
REFRESH_SLOTS = threading.BoundedSemaphore(2)
"""Sessions that may refresh at the same time: with fifty computing threads, the server's event loop could send nothing."""


def watch(run: Run, use_case: str) -> None:
    """Show the run; refresh once per second for as long as it is under way."""
    working = run.live or (run.id == run_records.WORKSPACE and RunSnapshot.read(run.root, run.id, use_case).is_working)

    @st.fragment(run_every=REFRESH_S if working else None, key="live")
    def live() -> None:
        with REFRESH_SLOTS, page_context.error_boundary():
            snapshot = RunSnapshot.read(run.root, run.id, use_case)
            if working and not snapshot.is_working:
                st.rerun()  # once: it stops the refreshes and updates the rest of the page
            _show(snapshot)

    live()


def preview(context: PageContext) -> None:
    """The graph of the stages that would run, before any run."""
    if needs := run_status.planned_stages(context.root, context.use_case):
        nodes = {name: _node(Stage(name, "waiting", StageEntry(), StageEvents(), None)) for name in needs}
        graph(compute_layout(needs), nodes, key="preview", alt=t("run.graph_alt", summary=t("stage_state.waiting")))


def _show(snapshot: RunSnapshot) -> None:
    concluded = run_header.header(snapshot)
    _notify(snapshot)
    if concluded and not outcome_card.show(snapshot.run, snapshot.use_case):
        verdict_view.line(verdicts.of_run(snapshot.run, snapshot.use_case))
    stages = snapshot.stages
    if not stages:
        page_context.empty_state("run.none")
        return
    requested = st.query_params.get("stage", "")
    selected = requested if requested in stages else run_status.default_stage(stages)
    nodes = {name: _node(stage) for name, stage in stages.items()}
    layout = compute_layout({name: stage.entry.needs for name, stage in stages.items()})
    picked = graph(layout, nodes, key="graph", alt=t("run.graph_alt", summary=_summary(stages)), selected=selected)
    if picked in stages and picked != requested:
        st.query_params["stage"] = picked
        st.rerun(scope="fragment")
    _other_use_cases(snapshot)
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        run_charts.charts(snapshot, selected)
    with right, st.container(border=True):
        stage_details.stage(snapshot, selected)


def _notify(snapshot: RunSnapshot) -> None:
    """A notification of the browser when the run has ended, with its verdict."""
    if snapshot.is_workspace:
        return
    verdict = verdicts.of_run(snapshot.run, snapshot.use_case)
    notification(
        snapshot.run.id,
        working=snapshot.is_working,
        title=f"{pickers.title(snapshot.use_case)}: {t(f'state.{snapshot.run.state}')}",
        body=verdict_view.title(verdict).replace("\\", "") if verdict.word else "",
        label=t("run.notify"),
    )


def _node(stage: Stage) -> Node:
    verb, state = word("stage", stage.verb), t(f"stage_state.{stage.state}")
    if stage.state in run_status.WORKING and stage.share is not None:
        status = f"{stage.share:.0%} · {formatting.duration(stage.seconds)}"
    elif stage.state in (*run_status.WORKING, "done", "failed") and stage.seconds is not None:
        status = (
            formatting.duration(stage.seconds) if stage.state != "failed" else f"{state} · {formatting.duration(stage.seconds)}"
        )
    else:
        status = state
    title, subtitle = stage.recipe or verb, f"{verb} · {status}" if stage.recipe else status
    return Node(title, subtitle, stage.state, accessible_label(title, subtitle, state), stage.share)


def _summary(stages: Mapping[str, Stage]) -> str:
    """How many stages are in each state."""
    counts: dict[str, int] = {}
    for stage in stages.values():
        counts[stage.state] = counts.get(stage.state, 0) + 1
    return ", ".join(f"{count} {t(f'stage_state.{state}')}" for state, count in counts.items())


def _other_use_cases(snapshot: RunSnapshot) -> None:
    """How far the run's other use cases are, and its verdict, each in a badge."""
    if not snapshot.other_use_cases:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(t("run.others"), width="content")
        for name, stages in snapshot.other_use_cases.items():
            progress = run_status.progress(stages, {})
            broken = any(stage.state in run_status.BROKEN for stage in stages.values())
            colour: widgets.Colour = (
                "red" if broken else "green" if progress.done == progress.total else "blue" if snapshot.run.live else "gray"
            )
            decided = verdicts.of_run(snapshot.run, name)
            ending = f" · {verdict_view.title(decided)}" if decided.word else ""
            st.badge(f"{pickers.title(name)} {progress.done}/{progress.total}{ending}", color=colour)
