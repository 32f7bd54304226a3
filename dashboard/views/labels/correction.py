"""The page: where the rows come from, the rows themselves, their decisions, and the run that applies these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.readers import label_candidates
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.label_candidates import LABEL
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, url_state
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext
from dashboard.views.labels import decisions, row_tile
from dashboard.views.labels.row_tile import Decider
from dashboard.views.run import start_form
from dashboard.views.run.run_table import open_page
from tasks.cleaning.corrections import Decision
from tasks.core.compression import DENSE

SOURCES = ("suspects", "mistakes", "quarantine", "decisions")
ROWS_PER_PAGE = 12
REASONS = {"mistakes": "mistake of the model", "suspects": "suspected label", "quarantine": "quarantined row"}
"""Why a row was decided on, in the file of decisions, where a person gives no reason."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A run's rows of one use case, and the lines of its file of decisions."""

    run: Run
    artifacts: Artifacts
    lines: Sequence[Decision]

    def open_rows(self, candidates: pd.DataFrame) -> pd.DataFrame:
        """The candidates without those decided on."""
        return label_candidates.without(candidates, label_candidates.decided_places(self.lines))


def show(context: PageContext) -> None:
    """The page of a run."""
    run, artifacts = context.run, context.artifacts
    assert run is not None
    assert artifacts is not None
    if not label_candidates.has_labels(artifacts):
        page_context.empty_state("labels.no_labels", use_case=pickers.title(context.use_case))
        return
    _page(run, artifacts)


@st.fragment
def _page(run: Run, artifacts: Artifacts) -> None:
    """A fragment: a decision reruns only this part of the page."""
    with page_context.error_boundary():
        selection = Selection(run, artifacts, label_candidates.decisions(run.root, artifacts.use_case))
        decisions.message(run, artifacts.use_case)
        source = _bar(selection)
        if run.id == SAMPLE:
            st.info(t("labels.sample"), icon=":material/info:")
        if source == "decisions":
            decisions.show(run, artifacts, selection.lines)
            return
        why = _reason(source)
        candidates = {"mistakes": _misclassified, "suspects": _suspects, "quarantine": _quarantine}[source](selection)
        _rows(selection, candidates, Decider(run, artifacts.use_case, why))


def _bar(selection: Selection) -> str:
    """The choice of a source, and the button that trains with the decisions; returns the source."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        source = str(
            st.segmented_control(
                t("labels.source"),
                list(SOURCES),
                required=True,
                format_func=lambda name: t(f"labels.{name}"),
                wrap=True,
                **url_state.query_param("source", SOURCES, SOURCES[0]),
            )
        )
        waiting = label_candidates.waiting(selection.lines, selection.run)
        usable = bool(waiting) and selection.run.id != SAMPLE
        if st.button(
            t("labels.retrain"),
            type="primary" if usable else "secondary",
            icon=":material/model_training:",
            key="retrain",
            disabled=not usable,
            help=t("labels.retrain_help"),
        ):
            _retrain(selection.run, selection.artifacts.use_case)
        st.caption(t("labels.waiting", count=len(waiting)), width="content")
    return source


def _retrain(run: Run, use_case: str) -> None:
    """Request the run anew, with the decisions, and show it on the run page."""
    record = run.record
    dropped = tuple(f"use_cases.{use_case}.clean.{name}" for name in ("corrections", "fingerprint"))
    overrides = {name: value for name, value in record.overrides.items() if name not in dropped}
    recipes = [] if record.whole else [name for name in record.recipes if name != DENSE]
    if flow_run := start_form.requested(run.root, [use_case], recipes, overrides):
        open_page("run", {"uc": use_case, "flow": flow_run})


def _reason(source: str) -> str:
    """The reason that is kept with each decision."""
    typed = st.text_input(t("labels.why"), key="labels_why", placeholder=t("labels.why_note"), persist_state="session")
    return formatting.clean(typed, 300).strip() or REASONS[source]


def _misclassified(selection: Selection) -> pd.DataFrame:
    """The rows that the model gets wrong, with the content of each on the page."""
    candidates = selection.open_rows(label_candidates.misclassified(selection.artifacts))
    model = formatting.escape(label_candidates.model_of(selection.artifacts), 60)
    st.caption(t("labels.mistakes_note", count=formatting.number(len(candidates)), model=model))
    return candidates


def _suspects(selection: Selection) -> pd.DataFrame:
    """The suspected labels; without any, a button that looks for them."""
    candidates = label_candidates.suspects(selection.artifacts)
    if candidates is None:
        st.markdown(t("labels.suspects_none"))
        if st.button(t("labels.find"), type="primary", icon=":material/search:", key="find", disabled=selection.run.id == SAMPLE):
            with st.spinner(t("labels.finding")):
                try:
                    label_candidates.find_suspects(selection.run, selection.artifacts)
                except CommandError as error:
                    st.warning(formatting.capitalized(formatting.escape(error, 600)))
                    return pd.DataFrame()
            st.rerun(scope="fragment")
        return pd.DataFrame()
    candidates = selection.open_rows(candidates)
    st.caption(t("labels.suspects_note", count=formatting.number(len(candidates))))
    return candidates


def _quarantine(selection: Selection) -> pd.DataFrame:
    candidates = selection.open_rows(label_candidates.quarantined(selection.artifacts))
    st.caption(t("labels.quarantine_note", count=formatting.number(len(candidates))))
    return candidates


def _rows(selection: Selection, candidates: pd.DataFrame, decider: Decider) -> None:
    """A page of rows side by side."""
    if candidates.empty:
        return
    pages = -(-len(candidates) // ROWS_PER_PAGE)
    page = min(st.pagination(pages, key="labels_page", bind="query-params") if pages > 1 else 1, pages)
    shown = candidates.iloc[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE].reset_index(drop=True)
    if "reason" not in shown:
        shown = label_candidates.contents(selection.artifacts, shown)
    elif LABEL not in shown:
        shown = shown.assign(label="")
    classes = label_candidates.classes(selection.artifacts)
    width = row_tile.width_of(shown)
    with st.grid("auto", min_column_width=width, gap="small"):
        for position in range(len(shown)):
            with st.container(border=True, gap="xsmall", height="stretch"):
                row_tile.show(shown.iloc[position], classes, decider)
