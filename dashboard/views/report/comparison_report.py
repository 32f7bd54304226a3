"""A comparison of runs as one HTML file that opens without a server: notes, differences, groups and training curves."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.analysis import run_differences
from dashboard.charts import svg
from dashboard.readers.runs import verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import locale, pickers, verdict_view
from dashboard.ui.locale import Reader, t
from dashboard.views.report import html_parts
from dashboard.views.report.html_parts import escaped, html_table, plain
from dashboard.views.run import comparison

MAX_NOTES = 5000
MAX_CURVES = 4


def button(chosen: Sequence[Run], use_case: str) -> None:
    """Notes on the comparison, and a button that saves both as one file."""
    someone = locale.reader()
    with st.popover(t("compare.save"), icon=":material/summarize:", key="save_comparison"):
        notes = st.text_area(t("compare.notes"), key="comparison_notes", max_chars=MAX_NOTES, persist_state="session", width=420)
        st.download_button(
            t("compare.download"),
            lambda: document(chosen, use_case, str(notes or ""), someone),
            file_name=f"{use_case}-comparison.html",
            mime="text/html",
            type="primary",
            icon=":material/download:",
            key="download_comparison",
            on_click="ignore",
        )
        st.caption(t("compare.save_help"))


def document(chosen: Sequence[Run], use_case: str, notes: str, someone: Reader) -> str:
    """The whole file in the reader's language."""
    with locale.written_for(someone):
        title = t("compare.title", use_case=pickers.title(use_case), count=len(chosen))
        parts = [f"<h1>{escaped(title)}</h1>", *_notes(notes), _runs(chosen, use_case)]
        parts += [_differences(group, chosen, use_case) for group in comparison.GROUPS]
        parts += [_curves(chosen, use_case), f"<p class=note>{escaped(t('compare.note'))}</p>"]
        return html_parts.document(title, parts)


def _notes(notes: str) -> list[str]:
    """The notes, a paragraph for each of their lines."""
    return [f"<p>{escaped(line, MAX_NOTES)}</p>" for line in notes.splitlines() if line.strip()]


def _runs(chosen: Sequence[Run], use_case: str) -> str:
    """The runs with their verdicts."""
    names = comparison.labels(chosen)
    rows = []
    for run in chosen:
        verdict = verdicts.of_run(run, use_case)
        title = plain(verdict_view.title(verdict)) if verdict.word else t(f"state.{run.state}")
        rows.append(([names[run.id], run.id, title], False))
    return html_table([t("compare.name"), t("pick.run"), t("history.verdict")], rows)


def _differences(group: str, chosen: Sequence[Run], use_case: str) -> str:
    """What differs between the runs, and which runs have none of it."""
    frame, missing = comparison.group_table(group, chosen, use_case, only_differing=True)
    notes = "".join(f"<p class=note>{escaped(plain(line))}</p>" for line in missing)
    if frame.empty:
        body = f"<p class=note>{escaped(t('compare.same'))}</p>"
    else:
        shown = comparison.worded(frame)
        columns = [t("compare.name"), *(str(name) for name in shown.columns if name != "name")]
        body = html_table(columns, [([str(cell) for cell in row], False) for row in shown.itertuples(index=False)])
    return f"<h2>{escaped(t(f'compare.{group}'))}</h2>{notes}{body}"


def _curves(chosen: Sequence[Run], use_case: str) -> str:
    """The training curves of the runs over each other, those on validation rows first."""
    points = run_differences.curves(chosen, use_case)
    names = comparison.labels(chosen)
    drawings = []
    for name in sorted(points["name"].unique(), key=lambda name: (not name.startswith("validation"), name))[:MAX_CURVES]:
        of_name = points[points["name"] == name]
        series = {
            names[str(run)]: list(zip(rows["step"].astype(float), rows["value"].astype(float), strict=True))
            for run, rows in of_name.groupby("run", sort=False)
        }
        title = locale.word("curve", formatting.clean(name, 80))
        drawings.append(f"<h3>{escaped(title)}</h3>{svg.lines(series, title)}")
    return f"<h2>{escaped(t('compare_view.curves'))}</h2>{''.join(drawings)}" if drawings else ""
