"""The terms of the contract for each candidate: what is allowed, what was measured, its bound, its p-value and its status."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs import verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import remark_text, verdict_view, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.widgets import Colour
from flows.reporting.verdicts import Candidate, Verdict

STATUS_BADGES: dict[str, tuple[Colour, str]] = {
    "kept": ("green", ":material/check:"),
    "not shown": ("yellow", ":material/help:"),
    "broken": ("red", ":material/close:"),
}
RANK = tuple(STATUS_BADGES)


def terms(artifacts: Artifacts, run: Run) -> None:
    """Every candidate with its sentence and its terms: the released one first, then the nearest."""
    verdict = verdicts.of_folder(artifacts, run)
    if not verdict.candidates:
        st.caption(t("decision.no_candidates"))
        return
    if rows := verdict.decision.get("rows"):
        method = remark_text.remark_text(str(verdict.decision.get("method", "")))
        st.caption(t("decision.method", rows=formatting.number(rows), method=method))
    for number, candidate in enumerate(_ordered(verdict)):
        with st.container(border=True):
            _candidate(candidate, number, chosen=candidate.recipe == verdict.released)


def _ordered(verdict: Verdict) -> list[Candidate]:
    first = verdict.released or (verdict.nearest.recipe if verdict.nearest else "")

    def place(candidate: Candidate) -> tuple[bool, int]:
        return candidate.recipe != first, RANK.index(candidate.status) if candidate.status in RANK else len(RANK)

    return sorted(verdict.candidates, key=place)


def _candidate(candidate: Candidate, number: int, *, chosen: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{formatting.escape(candidate.recipe, 60)}**", width="content")
        if candidate.is_classic:
            st.badge(t("decision.classic"), color="blue", icon=":material/functions:")
        colour, icon = STATUS_BADGES.get(candidate.status, ("gray", ":material/circle:"))
        st.badge(status_label("chosen" if chosen else candidate.status), color=colour, icon=icon)
        if candidate.tried and candidate.adjusted_p is not None:
            st.caption(t("decision.p", p=formatting.escape(formatting.p_value(candidate.adjusted_p))), width="content")
    if candidate.why:
        st.markdown(verdict_view.candidate_reason(candidate))
    if candidate.terms:
        frame = pd.DataFrame(
            {
                t("decision.term"): [word("term", term.name) for term in candidate.terms],
                t("decision.allowed"): [_value(term.allowed) for term in candidate.terms],
                t("decision.measured"): [_value(term.value) for term in candidate.terms],
                t("decision.bound"): [_value(term.bound) for term in candidate.terms],
                "p": [formatting.p_value(term.p) for term in candidate.terms],
                t("compression.contract"): [status_label(term.status) for term in candidate.terms],
            }
        )
        widgets.table(
            frame, key=f"terms_{number}", alt_text=t("decision.terms_alt", recipe=formatting.clean(candidate.recipe, 60))
        )


def status_label(status: str) -> str:
    """The translated status of a candidate, or of a term."""
    translated = {"chosen", *STATUS_BADGES}
    return t(f"compression.status_{status.replace(' ', '_')}") if status in translated else formatting.clean(status, 40)


def _value(value: object) -> str:
    return formatting.clean(value, 60) if isinstance(value, str) else formatting.number(value, 4)
