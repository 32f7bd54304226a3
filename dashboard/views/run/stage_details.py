"""One stage of a run, looked at closely: how it stands, what it says, what it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.readers import run_status
from dashboard.readers.run_records import Run
from dashboard.readers.run_status import Stage
from dashboard.text import formatting, translations
from dashboard.ui import locale, widgets
from dashboard.ui.locale import t, word

LOG_HEIGHT = 300
FIRST_WORDS = 400
"""Letters of an error that are said at once; the rest stands under its details."""
OUTCOMES = {"finished": "done", "failed": "failed"}


def stage(run: Run, stages: Mapping[str, Stage], name: str) -> None:
    """The panel beside the graph, about one of the run's stages."""
    stage = stages[name]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{formatting.escape(' '.join((word('stage', stage.verb), stage.recipe)).strip())}**", width="content")
        widgets.stage_badge(stage.state)
    if translations.has(f"stage_about.{stage.verb}"):
        st.caption(t(f"stage_about.{stage.verb}"))
    if stage.state in ("unchanged", "restored"):
        st.caption(t(f"drawer.{stage.state}"))
    if stage.error:
        say, icon = (st.warning, ":material/block:") if stage.state == "cancelled" else (st.error, ":material/error:")
        say(formatting.escape(stage.error, FIRST_WORDS), icon=icon)
    whole = stage.error if len(stage.error) > FIRST_WORDS else ""
    if details := "\n\n".join(filter(None, [whole, stage.details[-8000:]])):
        with st.expander(t("drawer.details")):
            st.code(details, language=None, height=260, wrap_lines=True)
    overview, said, made = st.tabs([t("drawer.overview"), t("drawer.log"), t("drawer.files")], key="drawer", on_change="rerun")
    if overview.open:
        with overview:
            st.table(_facts(stage), border="horizontal", width="stretch", alt=t("drawer.overview"))
            _attempts(stage)
    if said.open:
        with said:
            _log(run, stage)
    if made.open:
        with made:
            st.markdown(f"**{t('drawer.makes')}**")
            _files({stage.name: stage}, "outs")
            st.markdown(f"**{t('drawer.takes')}**")
            _files({name: stages[name] for name in stage.entry.needs if name in stages}, "ins")


def _facts(stage: Stage) -> dict[str, str]:
    entry, diary, zone = stage.entry, stage.diary, locale.zone()
    found: dict[str, Any] = {
        "progress": f"{diary.done:,} / {diary.total:,} {formatting.escape(diary.unit)}" if stage.share is not None else "",
        "took": formatting.duration(stage.seconds) if stage.seconds is not None else "",
        "cpu": formatting.duration(entry.cpu_s if entry.cpu_s is not None else diary.cpu_s),
        "memory": formatting.size(entry.peak_memory_bytes or diary.peak_memory_bytes),
        "started": formatting.clock(entry.started_at, zone, seconds=True),
        "ended": formatting.clock(entry.ended_at, zone, seconds=True),
        "needs": formatting.escape(", ".join(entry.needs)),
    }
    shown = {t(f"drawer.{name}"): value for name, value in found.items() if value and value != formatting.NOTHING}
    return {t("drawer.state"): t(f"stage_state.{stage.state}"), **shown}


def _log(run: Run, stage: Stage) -> None:
    level = st.segmented_control(
        t("drawer.level"),
        ["all", "warnings", "printed"],
        default="all",
        required=True,
        format_func=lambda name: t(f"drawer.{name}"),
        key="log_level",
        label_visibility="collapsed",
        persist_state="session",
    )
    if level == "printed":
        words = run_status.output_tail(run, stage.name)
    else:
        lines = [line for line in stage.diary.lines if level == "all" or line.level != "info"]
        words = "\n".join(f"{line.at[11:19]}  {line.message}" for line in lines)
    if not words.strip():
        st.caption(t("drawer.no_log"))
        return
    with st.container(height=LOG_HEIGHT, autoscroll=True, border=False):
        st.code(words, language=None, wrap_lines=True)
    st.download_button(
        t("drawer.save_log"),
        words,
        file_name=f"{stage.name}.log",
        mime="text/plain",
        icon=":material/download:",
        type="tertiary",
        key="save_log",
        on_click="ignore",
    )


def _attempts(stage: Stage) -> None:
    """Each try of a stage that needed more than one."""
    tries = stage.diary.attempts
    if max(stage.entry.attempt, len(tries)) < 2:
        return
    rows = [
        {
            t("drawer.attempt"): number,
            t("drawer.started"): formatting.clock(one.started_at, locale.zone(), seconds=True),
            t("drawer.took"): formatting.duration(formatting.seconds_between(one.started_at, one.ended_at)),
            t("drawer.outcome"): t(f"stage_state.{OUTCOMES[one.outcome]}") if one.outcome else formatting.NOTHING,
            t("drawer.error"): one.error,
        }
        for number, one in enumerate(tries, max(1, stage.entry.attempt - len(tries) + 1))
    ]
    st.markdown(f"**{t('drawer.attempts')}**")
    widgets.table(pd.DataFrame(rows), key="attempts", alt_text=t("drawer.attempts"))


def _files(makers: Mapping[str, Stage], key: str) -> None:
    """What these stages made, with sizes and hashes."""
    rows = [
        {
            **({t("drawer.by"): maker} if key == "ins" else {}),
            t("drawer.path"): path,
            t("drawer.size"): formatting.size(facts.get("size")),
            t("drawer.files_count"): facts.get("nfiles"),
            t("drawer.hash"): str(facts.get("md5", ""))[:12],
        }
        for maker, stage in makers.items()
        for path, facts in stage.entry.outs.items()
        if isinstance(facts, dict)
    ]
    if not rows:
        st.caption(t("drawer.no_outs"))
        return
    widgets.table(pd.DataFrame(rows), key=key, alt_text=t("drawer.files"))
