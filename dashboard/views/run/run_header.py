"""The head of the run page: the run's state, its facts, its progress, and the buttons to cancel, edit or restart it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import formatting
from dashboard.ui import locale, page_context, remark_text, verdict_view, widgets
from dashboard.ui.locale import t
from dashboard.views.run import stage_details, start_form
from tasks.core.compression import DENSE

RESTART_BUTTONS = {
    "failed": ("run.retry", ":material/replay:"),
    "crashed": ("run.retry", ":material/replay:"),
    "cancelled": ("run.resume", ":material/play_arrow:"),
}
"""Label and icon of the button that starts the run again, by the state in which it ended."""


def header(snapshot: RunSnapshot) -> bool:
    """State, facts, buttons, error and progress bar of the run, and the verdict where there are no results to show with it.

    Returns whether the run has ended with results; the verdict belongs on their card.
    """
    run = snapshot.run
    verdict = verdicts.of_run(run, snapshot.use_case)
    repeated = verdict.word == "error" and bool(snapshot.record.error)
    left, right = st.columns([5, 3], vertical_alignment="center")
    with left, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        widgets.run_badge(run.state)
        if repeated:
            verdict_view.badge(verdict)
        if not snapshot.is_workspace:
            st.markdown(f"`{run.id}`", width="content")
        st.caption(" · ".join(_facts(run)), width="content")
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        _actions(snapshot)
    if snapshot.record.error:
        message = formatting.capitalized(formatting.escape(snapshot.record.error, stage_details.MAX_ERROR_CHARS))
        if run.state == "cancelled":
            st.warning(message, icon=":material/block:")
        else:
            st.error(message, icon=":material/error:")
    elif run.state == "crashed":
        st.error(_crash_cause(snapshot), icon=":material/bolt:")
        repeated = True
    concluded = not snapshot.is_working and verdict.word not in ("", "error")
    if not repeated and not snapshot.is_working and not concluded:
        verdict_view.line(verdict)
    _progress_bar(snapshot)
    return concluded


def _crash_cause(snapshot: RunSnapshot) -> str:
    """Why a run without an error of its own is not under way any more: its process ended without writing that it did."""
    stopped = [name for name, stage in snapshot.stages.items() if stage.state == "crashed"]
    if stopped:
        return t("run.crashed_in", stage=formatting.escape(", ".join(stopped), 200))
    return t("run.crashed")


def _progress_bar(snapshot: RunSnapshot) -> None:
    progress, live = snapshot.progress, snapshot.run.live
    labels = [t("run.stages_done", done=progress.done, total=progress.total)]
    if live and progress.seconds_left is not None:
        labels.append(t("run.left", time=formatting.duration(progress.seconds_left)))
    if snapshot.stages and (live or progress.done < progress.total):
        timed = live and progress.seconds_left is not None
        st.progress(progress.share if timed else progress.done / progress.total, " · ".join(labels))


def _facts(run: Run) -> list[str]:
    """When the run started, how long it took, who started it and with which code."""
    record = run.record
    facts = []
    if run.at:
        facts.append(t("run.began", time=formatting.local_time(run.at, locale.zone())))
    if run.live and record.started_at:
        elapsed = formatting.seconds_between(record.started_at, pd.Timestamp.now("UTC").isoformat())
        facts.append(t("run.running_for", time=formatting.duration(elapsed)))
    elif run.wall_s is not None:
        facts.append(t("run.took", time=formatting.duration(run.wall_s)))
    if record.asked.get("who"):
        facts.append(t("run.by", who=formatting.escape(remark_text.requester_text(record.asked), 130)))
    if commit := str(record.code.get("commit") or ""):
        dirty = f" {t('run.uncommitted')}" if record.code.get("dirty") else ""
        facts.append(t("run.code", commit=formatting.escape(commit[:8])) + dirty)
    return facts


def _actions(snapshot: RunSnapshot) -> None:
    run = snapshot.run
    if start_form.OPEN not in st.query_params and st.button(t("run.new"), icon=":material/add:", key="new_run", type="primary"):
        start_form.open_card()
        st.rerun()  # the form is outside of the fragment that refreshes
    if snapshot.is_workspace or run.id == SAMPLE:
        return
    if run.live:
        cancelling = st.session_state.get("ending") == run.id
        with st.popover(
            t("run.cancelling" if cancelling else "run.cancel"), icon=":material/stop_circle:", key="cancel", disabled=cancelling
        ):
            st.markdown(t("run.cancel_sure"))
            st.button(t("run.cancel_yes"), type="primary", key="cancel_yes", on_click=_cancel, args=(run,))
        if message := st.session_state.pop("not_ended", ""):
            st.error(message)
        return
    if st.button(t("run.edit"), icon=":material/edit:", key="edit_run", on_click=_edit, args=(snapshot,)):
        st.rerun()  # the form is outside of the fragment that refreshes
    label, icon = RESTART_BUTTONS.get(run.state, ("run.again", ":material/refresh:"))
    if st.button(t(label), icon=icon, key="again"):
        record = snapshot.record
        recipes = [] if record.whole else [name for name in record.recipes if name != DENSE]
        start_form.request_run(run.root, record.use_cases, recipes, record.overrides)


def _cancel(run: Run) -> None:
    """Cancel the run; the page shows the reason when that is impossible."""
    try:
        prefect_api.cancel(run.root, run)
        st.session_state["ending"] = run.id
    except Unreadable as error:
        st.session_state["not_ended"] = page_context.error_message(error)


def _edit(snapshot: RunSnapshot) -> None:
    start_form.open_card()
    start_form.edit(snapshot)
    st.toast(t("run.edit_note"))
