"""What an ended run came to, on one card: verdict, figures, what changed, and where to go from there."""

from __future__ import annotations

import streamlit as st

from dashboard.analysis import pareto_front, run_outcome
from dashboard.analysis.run_outcome import Outcome
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, model_actions, verdict_view, widgets
from dashboard.ui.locale import t, word
from dashboard.views.compression import release_bundle
from dashboard.views.report import run_report
from dashboard.views.run.run_table import open_page
from tasks.core.compression import DENSE

MAX_CHANGES = 6
"""The most changed parameters that are listed."""


def show(run: Run, use_case: str) -> bool:
    """The card; returns whether there was an outcome to show."""
    outcome = run_outcome.of_run(run, use_case, higher=metric_text.higher_is_better(use_case))
    if outcome is None:
        return False
    with st.container(border=True, key="outcome"):
        verdict_view.line(outcome.verdict)
        widgets.cards(_figures(outcome), columns=5)
        if outcome.gain:
            value, span = metric_text.signed(outcome.gain.value), metric_text.signed_interval(outcome.gain.low, outcome.gain.high)
            st.caption(t("outcome.gain", value=value, low_high=span))
        if outcome.previous:
            st.caption(_since(outcome, outcome.previous))
        _buttons(run, use_case, outcome)
        model_actions.show_message()
    return True


def _figures(outcome: Outcome) -> dict[str, tuple[str, str]]:
    row = outcome.row
    name = metric_text.metric_name(row.metric)
    of = t("try_it.dense") if row.recipe == DENSE else row.recipe
    low_high = formatting.interval(row.low, row.high, 4)
    figures = {f"{name} · {of}": (metric_text.metric_value(row.metric, row.value), t("results.card_small", low_high=low_high))}
    if outcome.baseline:
        value = metric_text.metric_value(row.metric, outcome.baseline.value)
        figures[t("outcome.baseline")] = (value, word("baseline", outcome.baseline.name))
    figures[t("results.size")] = (formatting.size(row.bytes), t("results.of_dense", share=formatting.percent(row.size_share)))
    speed = pareto_front.speedup(row, DENSE)
    note = t("outcome.speed", ratio=f"{speed.ratio:.1f}") if speed and row.recipe != DENSE else ""
    figures[t("results.latency")] = (formatting.milliseconds(pareto_front.cost_of(row, "latency_1")), note)
    before = outcome.previous_row
    if before and before.metric == row.metric:
        note = t("outcome.was", value=metric_text.metric_value(row.metric, before.value))
        figures[t("outcome.change", metric=name)] = (metric_text.signed(row.value - before.value), note)
    return figures


def _since(outcome: Outcome, previous: Run) -> str:
    """The parameters that changed since the run before."""
    at = formatting.local_time(previous.at, locale.zone())
    if not outcome.changed:
        return t("outcome.same", time=at)
    listed = [
        f"`{formatting.clean(name, 80)}` {formatting.escape(before, 60)} → {formatting.escape(now, 60)}"
        for name, (before, now) in list(outcome.changed.items())[:MAX_CHANGES]
    ]
    more = len(outcome.changed) - len(listed)
    listed += [t("run.more_curves", count=more)] if more else []
    return t("outcome.since", time=at, changes=" · ".join(listed))


def _buttons(run: Run, use_case: str, outcome: Outcome) -> None:
    query = {"uc": use_case} if run.id == run_records.WORKSPACE else {"uc": use_case, "run": run.id}
    with st.container(horizontal=True):
        for page, icon in (("results", ":material/query_stats:"), ("try_it", ":material/draw:")):
            if st.button(t(f"page.{page}"), icon=icon, key=f"outcome_{page}"):
                open_page(page, query)
        run_report.button(run, use_case)
        if outcome.verdict.word == "released":
            try:
                files = release_bundle.files(Artifacts(run.root, run.folder, use_case))
            except Unreadable:
                files = []
            model_actions.download(files, f"{use_case}-{outcome.row.recipe}", key="outcome_download")
            if run.id != SAMPLE:
                model_actions.promote(run.root, use_case, run.id, key="outcome_promote", primary=True)
