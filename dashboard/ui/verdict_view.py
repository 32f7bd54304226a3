"""A verdict on a page: word, colour and icon, and its sentence."""

from __future__ import annotations

import streamlit as st

from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import verdicts
from dashboard.text import formatting
from dashboard.ui import locale, page_context, pickers, verdict_text
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext
from dashboard.ui.widgets import Colour
from flows.reporting.verdicts import Candidate, Verdict

BADGES: dict[str, tuple[Colour, str]] = {
    "released": ("green", ":material/verified:"),
    "refused": ("red", ":material/gpp_bad:"),
    "inconclusive": ("yellow", ":material/help:"),
    "error": ("red", ":material/error:"),
}
GLYPHS = {"released": "✓", "refused": "✕", "inconclusive": "?", "error": "!"}
MAX_SENTENCE = 1200


def badge(verdict: Verdict) -> None:
    """The word as a coloured badge, with the released model; nothing while there is no verdict."""
    if verdict.word:
        colour, icon = BADGES[verdict.word]
        st.badge(title(verdict), color=colour, icon=icon)


def title(verdict: Verdict) -> str:
    """The word, and what was released."""
    if verdict.word == "released" and verdict.released:
        return t("compression.released", recipe=formatting.escape(verdict.released))
    return word("decision", verdict.word)


def sentence(verdict: Verdict) -> str:
    """The verdict's sentence, escaped, and what an inconclusive one still needs."""
    own = "" if locale.language() == "en" else verdict_text.sentence(verdict)
    text = formatting.escape(own, MAX_SENTENCE) or formatting.capitalized(formatting.escape(verdict.sentence, MAX_SENTENCE))
    if own:
        return " ".join(filter(None, [text, missing(verdict)]))
    return " ".join(filter(None, [text.rstrip(".") + "." if text else "", missing(verdict)]))


def candidate_reason(candidate: Candidate) -> str:
    """Why a candidate is or is not released, escaped for Markdown: the artifact's sentence, or worded from its terms."""
    if locale.language() == "en":
        return formatting.capitalized(formatting.escape(candidate.why, MAX_SENTENCE))
    return formatting.escape(verdict_text.candidate_reason(candidate), MAX_SENTENCE)


def missing(verdict: Verdict) -> str:
    """The nearest candidate of an inconclusive verdict, and about how much more evidence would decide.

    Empty where the sentence of the artifact, which is in English, says so already.
    """
    repeated = bool(verdict.needs) and verdict.needs in verdict.sentence and locale.language() == "en"
    if verdict.word != "inconclusive" or not verdict.nearest or repeated:
        return ""
    recipe = formatting.escape(verdict.nearest.recipe, 60)
    needs = []
    if verdict.more_rows:
        needs.append(t("decision.more_rows", rows=formatting.number(verdict.more_rows)))
    if verdict.processes:
        needs.append(t("decision.processes", count=formatting.number(verdict.processes)))
    if not needs:
        return t("decision.nearest", recipe=recipe)
    return t("decision.nearest_needs", recipe=recipe, needs=t("decision.and").join(needs))


def line(verdict: Verdict) -> None:
    """Badge and sentence, the sentence below the badge where the page is narrow."""
    if not verdict.word:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge(verdict)
        st.caption(sentence(verdict), width="content")


def box(verdict: Verdict) -> None:
    """The verdict as a coloured box with word and sentence; nothing while there is none."""
    if not verdict.word:
        return
    _, icon = BADGES[verdict.word]
    shape = {"released": st.success, "inconclusive": st.warning}.get(verdict.word, st.error)
    shape(sentence(verdict), title=title(verdict), icon=icon)


def of_page(context: PageContext, *, boxed: bool = False) -> None:
    """The verdict of the page's run; nothing where there is none yet, and the reason where it cannot be read."""
    if not context.run or not context.artifacts:
        return
    show = box if boxed else line
    try:
        show(verdicts.of_folder(context.artifacts, context.run))
    except Unreadable as error:
        if boxed and context.artifacts.recipes():
            st.info(page_context.error_message(error), icon=":material/info:")


def cell(decided: list[Verdict]) -> str:
    """The words of a run's verdicts for a table cell, with the use case where there are several."""
    shown = [(verdict, f"{GLYPHS[verdict.word]} {word('decision', verdict.word)}") for verdict in decided if verdict.word]
    return ", ".join(f"{pickers.title(verdict.use_case)} {text}" if len(decided) > 1 else text for verdict, text in shown)


def released_cell(decided: list[Verdict]) -> str:
    """What a run released, for a table cell; empty where it released nothing."""
    shown = [(verdict, str(verdict.released)) for verdict in decided if verdict.word == "released" and verdict.released]
    return ", ".join(f"{pickers.title(verdict.use_case)} {name}" if len(decided) > 1 else name for verdict, name in shown)
