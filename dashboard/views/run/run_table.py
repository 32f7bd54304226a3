"""The table of runs, filtered and paged without reading every record, and the actions on selected runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import page_files
from dashboard.analysis.run_differences import MAX_RUNS
from dashboard.readers.runs import run_records, verdicts
from dashboard.readers.runs.run_records import Page, Run
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, page_context, pickers, remark_text, url_state, verdict_view, widgets
from dashboard.ui.locale import t
from flows.runs.search import MAX_NOTE_LENGTH, RunAnnotation, RunFilter

PAGE_SIZE = 25
MAX_READ = 4000
"""Records read for a search, until the reader asks for older ones."""
STATES = ("running", "completed", "failed", "cancelled", "crashed")
GLYPHS = {"pending": "◌", "running": "▶", "completed": "✓", "failed": "✕", "cancelled": "⊘", "crashed": "✕", "none": ""}


def table(root: Path) -> None:
    """The filters, the table and the actions."""
    if not run_records.run_ids(root):
        page_context.empty_state("history.none")
        return
    run_filter = _filters(root)
    filtered = run_filter != RunFilter()
    slot = st.container()
    page = _page(root, run_filter, filtered)
    with slot:
        picked = _runs_table(page, run_filter.use_case)
    if page.unreadable:
        st.caption(t("history.unreadable", count=len(page.unreadable), names=formatting.escape(", ".join(page.unreadable[:5]))))
    _bulk_actions(picked)


def _filters(root: Path) -> RunFilter:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            t("history.search"), key="find", bind="query-params", placeholder=t("history.search_help"), width=260
        )
        use_case = st.selectbox(
            t("pick.use_case"),
            pickers.use_cases(root),
            format_func=pickers.title,
            placeholder=t("history.any"),
            index=None,
            width=170,
            **url_state.query_param("of", pickers.use_cases(root), None),
        )
        states = st.pills(
            t("history.state"),
            STATES,
            selection_mode="multi",
            format_func=lambda name: t(f"state.{name}"),
            wrap=True,
            **url_state.query_param_list("states", STATES),
        )
        pinned = st.toggle(t("history.pinned"), key="pinned", bind="query-params")
    return RunFilter(use_case=use_case or "", states=tuple(states or ()), text=(text or "").strip(), pinned=pinned)


def _page(root: Path, run_filter: RunFilter, filtered: bool) -> Page:
    """The page of runs by number; with a filter, the matching runs so far, since only their records show whether they match."""
    if not filtered:
        pages = -(-len(run_records.run_ids(root)) // PAGE_SIZE)
        number = 1
        if pages > 1:
            with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
                st.caption(t("history.total", count=formatting.number(len(run_records.run_ids(root)))), width="content")
                number = st.pagination(pages, key="page", bind="query-params")
        return run_records.list_runs(root, start=(number - 1) * PAGE_SIZE, count=PAGE_SIZE)
    steps = int(st.session_state.get("history_steps", 1))
    page = run_records.list_runs(root, run_filter, count=PAGE_SIZE * steps, most_read=MAX_READ * steps)
    if page.next is not None:
        st.button(t("history.more"), key="more", on_click=lambda: st.session_state.update(history_steps=steps + 1))
    return page


def _runs_table(page: Page, use_case: str) -> list[Run]:
    if not page.runs:
        st.caption(t("history.no_match") if page.next is None else t("history.no_match_yet", count=formatting.number(page.next)))
        return []
    frame = pd.DataFrame([_table_row(run, use_case) for run in page.runs])
    columns = {
        "pin": st.column_config.TextColumn("", width=28, pinned=True),
        "state": st.column_config.TextColumn(t("history.state"), pinned=True, width=110),
        "at": st.column_config.DatetimeColumn(t("history.at"), format="D MMM YYYY, HH:mm", timezone=st.context.timezone),
        "use_cases": st.column_config.TextColumn(t("pick.use_case"), width=110),
        "verdict": st.column_config.TextColumn(t("history.verdict")),
        "recipe": st.column_config.TextColumn(t("history.released")),
        "metric": st.column_config.TextColumn(t("history.metric")),
        "value": st.column_config.TextColumn(t("history.value"), alignment="right"),
        "interval": st.column_config.TextColumn("95 %", width=150),
        "took": st.column_config.TextColumn(t("stage_details.took"), width=90),
        "set": st.column_config.TextColumn(t("history.set"), width="medium"),
        "who": st.column_config.TextColumn(t("history.who")),
        "code": st.column_config.TextColumn(t("history.code"), width=90),
        "note": st.column_config.TextColumn(t("history.note"), width="medium"),
        "run": st.column_config.TextColumn(t("pick.run")),
    }
    event = widgets.table(
        frame, key="history", alt_text=t("page.history"), columns=columns, on_select="rerun", selection_mode="multi-row"
    )
    if len(page.runs) < page.total:
        st.caption(t("history.csv_note", count=formatting.number(len(page.runs))))
    chosen = event.selection.rows if event else []
    return [page.runs[at] for at in chosen if at < len(page.runs)]


def _table_row(run: Run, requested: str) -> dict[str, object]:
    """The table row of a run. The metric is that of the requested use case, or else of the run's first.

    It is the released model's, or that of dense where nothing was released; then its name says so.
    """
    record, annotation = run.record, run_records.annotation(run)
    use_case = requested or next(iter(record.use_cases), "")
    metric = run_records.results_row(run, use_case)
    decided = verdicts.of_use_cases(run, requested)
    released = next((verdict.released for verdict in decided if verdict.use_case == use_case), None)
    of = "" if released else f" · {t('try_it.dense')}"
    of += f" · {pickers.title(use_case)}" if len(record.use_cases) > 1 else ""
    low, high = metric.get("low"), metric.get("high")
    return {
        "pin": "★" if annotation.pinned else "",
        "state": f"{GLYPHS[run.state]} {t(f'state.{run.state}')}",
        "verdict": verdict_view.cell(decided),
        "at": formatting.parse_time(run.at),
        "use_cases": ", ".join(pickers.title(name) for name in record.use_cases),
        "recipe": verdict_view.released_cell(decided),
        "metric": metric_text.metric_name(str(metric["metric"])) + of if "metric" in metric else "",
        "value": metric_text.metric_value(str(metric["metric"]), metric.get("value")) if "metric" in metric else "",
        "interval": formatting.interval(low, high, 4) if low is not None else "",
        "took": formatting.duration(run.wall_s),
        "set": ", ".join(f"{short_name(name)}={value}" for name, value in record.overrides.items()),
        "who": remark_text.requester_text(record.asked),
        "code": str(record.code.get("commit", ""))[:8] + ("*" if record.code.get("dirty") else ""),
        "note": annotation.text,
        "run": run.id,
    }


def short_name(name: str) -> str:
    """A parameter's name without its use case: `training.epochs`."""
    return name.split(".", 2)[-1] if name.startswith("use_cases.") else name


def _bulk_actions(picked: Sequence[Run]) -> None:
    """The actions on the runs selected in the table."""
    if not picked:
        st.caption(t("history.pick", most=MAX_RUNS))
        return
    with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(t("history.picked", count=len(picked)), width="content")
        if len(picked) == 1:
            run = picked[0]
            query = {"run": run.id, "uc": next(iter(run.record.use_cases), "")}
            for label, icon, page in (
                ("history.open", ":material/play_circle:", "run"),
                ("page.results", ":material/query_stats:", "results"),
                ("page.compression", ":material/compress:", "compression"),
            ):
                if st.button(t(label), icon=icon, key=f"go_{page}"):
                    open_page(page, query)
        elif 2 <= len(picked) <= MAX_RUNS:
            if st.button(t("page.compare"), icon=":material/compare_arrows:", type="primary", key="go_compare"):
                open_page(
                    "compare", {"runs": ",".join(run.id for run in picked), "uc": next(iter(picked[0].record.use_cases), "")}
                )
        else:
            st.caption(t("history.too_many", most=MAX_RUNS))
        pinned = all(run_records.annotation(run).pinned for run in picked)
        st.button(
            t("history.unpin" if pinned else "history.pin"),
            icon=":material/keep_off:" if pinned else ":material/keep:",
            key="pin",
            on_click=_pin,
            args=(list(picked), not pinned),
        )
    if len(picked) == 1:
        run = picked[0]
        text = st.text_area(
            t("history.note"),
            run_records.annotation(run).text,
            key=f"note_{run.id}",
            max_chars=MAX_NOTE_LENGTH,
            height=90,
        )
        if st.button(t("history.save"), icon=":material/save:", key="save_note"):
            run_records.save_annotation(run, RunAnnotation(run_records.annotation(run).pinned, text or ""))
            st.rerun()


def open_page(page: str, query: dict[str, str]) -> None:
    """Switch to another page with these query parameters, in the reader's language."""
    lang = {"lang": locale.language()} if locale.language() != "en" else {}
    st.switch_page(page_files.script(page), query_params={**lang, **{name: value for name, value in query.items() if value}})


def _pin(picked: list[Run], pinned: bool) -> None:
    for run in picked:
        run_records.save_annotation(run, RunAnnotation(pinned, run_records.annotation(run).text))
