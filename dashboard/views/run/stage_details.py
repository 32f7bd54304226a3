"""One stage of a run in detail: its state, log, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.readers.runs import run_status
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.readers.runs.run_status import Stage
from dashboard.text import formatting, translations
from dashboard.ui import locale, widgets
from dashboard.ui.locale import t, word

LOG_HEIGHT = 300
MAX_ERROR_CHARS = 400
"""Characters of an error that are always visible; the rest is in its details."""
OUTCOMES = {"finished": "done", "failed": "failed"}


def stage(snapshot: RunSnapshot, name: str) -> None:
    """The panel beside the graph, about one of the run's stages."""
    stages, stage = snapshot.stages, snapshot.stages[name]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{formatting.escape(' '.join((word('stage', stage.verb), stage.recipe)).strip())}**", width="content")
        widgets.stage_badge(stage.state)
    if translations.has(f"stage_about.{stage.verb}"):
        st.caption(t(f"stage_about.{stage.verb}"))
    if stage.state in ("unchanged", "restored"):
        st.caption(t(f"stage_details.{stage.state}"))
    if stage.error:
        show, icon = (st.warning, ":material/block:") if stage.state == "cancelled" else (st.error, ":material/error:")
        show(formatting.escape(stage.error, MAX_ERROR_CHARS), icon=icon)
    whole = stage.error if len(stage.error) > MAX_ERROR_CHARS else ""
    if details := "\n\n".join(filter(None, [whole, stage.details[-8000:]])):
        with st.expander(t("stage_details.details")):
            st.code(details, language=None, height=260, wrap_lines=True)
    overview, log, files = st.tabs(
        [t("stage_details.overview"), t("stage_details.log"), t("stage_details.files")], key="drawer", on_change="rerun"
    )
    if overview.open:
        with overview:
            st.table(_facts(stage), border="horizontal", width="stretch", alt=t("stage_details.overview"))
            _attempts(stage)
    if log.open:
        with log:
            _log(snapshot.run, stage)
    if files.open:
        with files:
            st.markdown(f"**{t('stage_details.outputs')}**")
            _files({stage.name: stage}, "outs")
            st.markdown(f"**{t('stage_details.inputs')}**")
            _files({name: stages[name] for name in stage.entry.needs if name in stages}, "ins")


def _facts(stage: Stage) -> dict[str, str]:
    entry, events, zone = stage.entry, stage.events, locale.zone()
    facts: dict[str, Any] = {
        "progress": f"{events.done:,} / {events.total:,} {formatting.escape(events.unit)}" if stage.share is not None else "",
        "took": formatting.duration(stage.seconds) if stage.seconds is not None else "",
        "cpu": formatting.duration(entry.cpu_s if entry.cpu_s is not None else events.cpu_s),
        "memory": formatting.size(entry.peak_memory_bytes or events.peak_memory_bytes),
        "started": formatting.local_time(entry.started_at, zone, seconds=True),
        "ended": formatting.local_time(entry.ended_at, zone, seconds=True),
        "needs": formatting.escape(", ".join(entry.needs)),
    }
    shown = {t(f"stage_details.{name}"): value for name, value in facts.items() if value and value != formatting.NOTHING}
    return {t("stage_details.state"): t(f"stage_state.{stage.state}"), **shown}


def _log(run: Run, stage: Stage) -> None:
    level = st.segmented_control(
        t("stage_details.level"),
        ["all", "warnings", "printed"],
        default="all",
        required=True,
        format_func=lambda name: t(f"stage_details.{name}"),
        key="log_level",
        label_visibility="collapsed",
        persist_state="session",
    )
    if level == "printed":
        text = run_status.output_tail(run, stage.name)
    else:
        lines = [line for line in stage.events.lines if level == "all" or line.level != "info"]
        text = "\n".join(f"{line.at[11:19]}  {line.message}" for line in lines)
    if not text.strip():
        st.caption(t("stage_details.no_log"))
        return
    with st.container(height=LOG_HEIGHT, autoscroll=True, border=False):
        st.code(text, language=None, wrap_lines=True)
    st.download_button(
        t("stage_details.save_log"),
        text,
        file_name=f"{stage.name}.log",
        mime="text/plain",
        icon=":material/download:",
        type="tertiary",
        key="save_log",
        on_click="ignore",
    )


def _attempts(stage: Stage) -> None:
    """The attempts of a stage that needed more than one."""
    attempts = stage.events.attempts
    if max(stage.entry.attempt, len(attempts)) < 2:
        return
    rows = [
        {
            t("stage_details.attempt"): number,
            t("stage_details.started"): formatting.local_time(attempt.started_at, locale.zone(), seconds=True),
            t("stage_details.took"): formatting.duration(formatting.seconds_between(attempt.started_at, attempt.ended_at)),
            t("stage_details.outcome"): t(f"stage_state.{OUTCOMES[attempt.outcome]}") if attempt.outcome else formatting.NOTHING,
            t("stage_details.error"): attempt.error,
        }
        for number, attempt in enumerate(attempts, max(1, stage.entry.attempt - len(attempts) + 1))
    ]
    st.markdown(f"**{t('stage_details.attempts')}**")
    widgets.table(pd.DataFrame(rows), key="attempts", alt_text=t("stage_details.attempts"))


def _files(producers: Mapping[str, Stage], key: str) -> None:
    """The outputs of these stages, with sizes and hashes."""
    rows = [
        {
            **({t("stage_details.by"): producer} if key == "ins" else {}),
            t("stage_details.path"): path,
            t("stage_details.size"): formatting.size(facts.get("size")),
            t("stage_details.files_count"): facts.get("nfiles"),
            t("stage_details.hash"): str(facts.get("md5", ""))[:12],
        }
        for producer, stage in producers.items()
        for path, facts in stage.entry.outs.items()
        if isinstance(facts, dict)
    ]
    if not rows:
        st.caption(t("stage_details.no_outs"))
        return
    widgets.table(pd.DataFrame(rows), key=key, alt_text=t("stage_details.files"))
