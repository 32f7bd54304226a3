"""The decisions on rows: who decided what, when and why; what they gained; and how one is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st

from dashboard.analysis import correction_gain
from dashboard.readers import label_candidates
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, widgets
from dashboard.ui.locale import t
from flows import corrections
from tasks.cleaning.corrections import WITHDRAW, Decision, in_force
from tasks.core.errors import UserError

DECISIONS_PER_PAGE = 20
DONE = {
    "confirm": "labels.did_confirm",
    "relabel": "labels.did_relabel",
    "exclude": "labels.did_exclude",
    "withdraw": "labels.did_withdraw",
}
"""What an action has done, in words."""
COLUMNS = ("action", "label", "before", "by", "at", "why")


def message(run: Run, use_case: str) -> None:
    """What the last click came to, with a button that takes it back."""
    of, made, error = st.session_state.get("label_message", ("", None, ""))
    if of != use_case:
        return
    if made is None:
        st.warning(formatting.capitalized(formatting.escape(error, 600)), icon=":material/warning:")
        del st.session_state["label_message"]
        return
    with st.container(horizontal=True, vertical_alignment="center", key="last_decision"):
        st.markdown(f":material/check: {in_words(made)}", width="content")
        if made.action != WITHDRAW:
            st.button(t("labels.undo"), icon=":material/undo:", key="undo", on_click=withdraw, args=(run, use_case, made))


def in_words(decision: Decision) -> str:
    """What was decided on which row."""
    row = formatting.escape(f"{decision.file}:{decision.row}", 80)
    labels = {name: formatting.escape(getattr(decision, name), 40) or formatting.NOTHING for name in ("before", "label")}
    return t(DONE[decision.action], row=row, **labels)


def withdraw(run: Run, use_case: str, decision: Decision) -> None:
    """Take a decision back; the line stays in the file, and another one is added."""
    wished = [{"file": decision.file, "row": decision.row, "action": WITHDRAW}]
    try:
        (made,) = corrections.record(run.root, use_case, wished, "")
    except UserError as error:
        st.session_state["label_message"] = (use_case, None, str(error))
    else:
        st.session_state["label_message"] = (use_case, made, "")


def show(run: Run, artifacts: Artifacts, lines: Sequence[Decision]) -> None:
    """The gain, the decisions in force with a button each, and all lines of the file."""
    current = list(in_force(lines).values())[::-1]
    _gain(run, artifacts.use_case, lines)
    if not lines:
        st.markdown(t("labels.decisions_none"))
        return
    st.caption(t("labels.decisions_note", count=len(current), file=f"`{corrections.FOLDER}/{artifacts.use_case}.jsonl`"))
    pages = max(1, -(-len(current) // DECISIONS_PER_PAGE))
    page = min(st.pagination(pages, key="decisions_page", bind="query-params") if pages > 1 else 1, pages)
    for decision in current[(page - 1) * DECISIONS_PER_PAGE : page * DECISIONS_PER_PAGE]:
        with st.container(horizontal=True, vertical_alignment="center"):
            at = formatting.local_time(decision.at, locale.zone())
            facts = [in_words(decision), at, formatting.escape(decision.by, 60), formatting.escape(decision.why, 160)]
            st.markdown(" · ".join(filter(None, facts)), width="stretch")
            key = f"withdraw_{decision.file}:{decision.row}"
            st.button(t("labels.withdraw"), key=key, on_click=withdraw, args=(run, artifacts.use_case, decision))
    with st.expander(t("labels.history", count=len(lines)), icon=":material/history:"):
        frame = pd.DataFrame([asdict(each) for each in reversed(lines)]).drop(columns="content")
        columns = {name: st.column_config.TextColumn(t(f"labels.column_{name}")) for name in COLUMNS}
        widgets.table(frame, key="decisions", alt_text=t("labels.history", count=len(lines)), columns=columns)


def _gain(run: Run, use_case: str, lines: Sequence[Decision]) -> None:
    """What the corrections that this run applied have gained."""
    try:
        measured = correction_gain.of_run(run, use_case, label_candidates.decided_places(lines))
    except Unreadable:
        return  # a run without results has no gain; the Results page reports what is missing
    if measured is None:
        return
    gain = measured.gain
    with st.container(border=True, key="gain"):
        widgets.cards(
            {
                t("labels.gain"): (metric_text.signed(gain.value), metric_text.signed_interval(gain.low, gain.high)),
                t("labels.accuracy_before"): (
                    formatting.number(measured.accuracy_before, 4),
                    formatting.escape(measured.before.id),
                ),
                t("labels.accuracy_after"): (formatting.number(measured.accuracy_after, 4), formatting.escape(run.id)),
            },
            columns=3,
        )
        chance = "labels.gain_chance" if gain.low <= 0 <= gain.high else "labels.gain_note"
        st.caption(t(chance, rows=formatting.number(gain.rows)))
