"""The data quality report: row counts, failed checks, and the rows that failed them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.analysis import column_drift
from dashboard.readers import label_candidates
from dashboard.readers.artifact_models import DataQualityReport
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import image_grid, page_context, remark_text, widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext
from dashboard.views.labels import link
from tasks.cleaning.quality_report import REMARK_PREFIX, reason_code

MAX_ROWS = 500
MAX_FULL_HEIGHT_ROWS = 7
"""A table with no more rows is as high as its rows; a longer one scrolls."""
MAX_SENTENCE = 300
"""Characters of a sentence on the source that are shown."""
MAX_IMAGES = 24
REASON_PIXELS = 150
OUTCOMES = QUARANTINED, REPAIRED, REMARKED = "rejected", "repaired", "kept_with_remarks"
"""Outcomes of a failed check: the row is not kept (quarantined, or dropped as a duplicate), repaired, or kept with a remark."""
HIDDEN_COLUMNS = ("image", "pixels", "look", "fit")


def row_counts(artifacts: Artifacts, context: PageContext) -> None:
    """The row counts, the failed checks, and the rows that failed the selected check."""
    report = artifacts.quality_report()
    _cards(report)
    for finding in report.findings:
        st.warning(formatting.escape(finding, MAX_SENTENCE), icon=":material/warning:")
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown(f"**{t('data.reasons')}**")
        outcome, code = _reasons(report)
    with right, st.container(border=True, height="stretch"), page_context.error_boundary():
        failed_rows(artifacts, outcome, code)
        if outcome == QUARANTINED and code and label_candidates.has_labels(artifacts):
            link.button(artifacts, "quarantine")
    if sentences := _source_sentences(artifacts):
        with st.expander(t("data.source_reading", count=len(sentences)), icon=":material/fact_check:"):
            st.markdown("\n".join(f"- {remark_text.remark_text(text)}" for text in sentences[:MAX_ROWS]))
    if report.files:
        with st.expander(t("data.by_file", count=len(report.files)), icon=":material/folder_open:"):
            frame = pd.DataFrame.from_dict(report.files, orient="index").rename_axis("file").reset_index()
            widgets.table(_with_labels(frame), key="by_file", alt_text=t("data.by_file", count=len(report.files)))


def _source_sentences(artifacts: Artifacts) -> list[str]:
    """What fetch said about the source; empty for a report of an earlier version, or none."""
    try:
        sentences = artifacts.report("raw").get("remarks", [])
    except Unreadable:
        return []
    return [str(text) for text in sentences] if isinstance(sentences, list) else []


def _cards(report: DataQualityReport) -> None:
    widgets.cards(
        {
            t("data.rows_in"): (
                formatting.number(report.rows_in),
                t("data.rows_in_small", files=formatting.number(len(report.files))),
            ),
            t("data.kept"): (formatting.number(report.kept), share_of(report.kept, report.rows_in)),
            t("data.repaired_rows"): (formatting.number(report.fixed), t("data.repaired_rows_small")),
            t("data.quarantined"): (formatting.number(report.quarantined), share_of(report.quarantined, report.rows_in)),
            t("data.duplicates"): (formatting.number(report.duplicates), share_of(report.duplicates, report.rows_in)),
        },
        columns=5,
    )
    total = report.kept + report.quarantined + report.duplicates
    key = "data.reconciled" if total == report.rows_in else "data.not_reconciled"
    st.caption(t(key, rows=formatting.number(report.rows_in), sum=formatting.number(total)))


def _reasons(report: DataQualityReport) -> tuple[str, str]:
    """The table of failed checks with their row counts; returns the outcome and the code of the selected one."""
    reasons = [
        (code, outcome, count)
        for outcome, counts in zip(OUTCOMES, (report.reasons, report.fixes, report.remarks), strict=True)
        for code, count in counts.items()
    ]
    if not reasons:
        st.caption(t("data.no_failed_checks"))
        return QUARANTINED, ""
    frame = pd.DataFrame(
        [(remark_text.reason_label(code), t(f"data.{outcome}"), count) for code, outcome, count in reasons],
        columns=["reason", "outcome", "rows"],
    )
    columns = {
        "reason": st.column_config.TextColumn(t("data.reason"), width=REASON_PIXELS),
        "outcome": st.column_config.TextColumn(t("data.outcome"), width="small"),
        "rows": st.column_config.NumberColumn(t("data.rows"), format="localized", width="small"),
    }
    event = widgets.table(
        frame, key="reasons", alt_text=t("data.reasons"), columns=columns, on_select="rerun", selection_mode="single-row"
    )
    picked = event.selection.rows if event else []
    if picked and picked[0] < len(reasons):
        st.query_params["reason"] = reasons[picked[0]][0]
    requested = st.query_params.get("reason", "")
    code, outcome, _ = next((row for row in reasons if row[0] == requested), reasons[0])
    return outcome, code


def failed_rows(artifacts: Artifacts, outcome: str, code: str) -> None:
    """The rows that failed a check, with their values; repaired rows also with their raw values."""
    if not code:
        st.caption(t("data.no_failing"))
        return
    st.markdown(t("data.rows_of", reason=formatting.code(remark_text.reason_label(code), 60)))
    column = "reason" if outcome == QUARANTINED else "fix"
    rows = (
        artifacts.rows_with_columns("clean/quarantine", [column])
        if outcome == QUARANTINED
        else artifacts.rows_with_columns("clean/rows", [column])
    )
    chosen = rows[rows[column].map(lambda text: code in reason_codes(str(text), outcome)).astype(bool)]
    if chosen.empty:
        raise Unreadable("unreadable.rows")
    if image_grid.image_column(chosen.columns):
        with st.grid("auto", min_column_width=96, gap="small"):
            for picture, row in image_grid.rows_with_images(chosen.head(MAX_IMAGES)):
                _tile(picture, row)
    shown = chosen.head(MAX_ROWS).drop(columns=[name for name in HIDDEN_COLUMNS if name in chosen])
    shown = shown[sorted(shown.columns, key=lambda name: name not in ("file", "row", "reason"))]
    if outcome == REPAIRED:
        shown = with_raw_values(_flatten_cells(shown), _flatten_cells(_raw_rows(artifacts, shown)), t("data.before"))
    height: str | int = "auto" if len(shown) <= MAX_FULL_HEIGHT_ROWS else 300
    widgets.table(
        _flatten_cells(shown), key="failing", alt_text=t("data.failing_alt", reason=formatting.clean(code, 60)), height=height
    )
    if len(chosen) > MAX_ROWS:
        st.caption(t("data.first_rows", shown=MAX_ROWS, total=formatting.number(len(chosen))))


def _tile(picture: bytes | None, row: pd.DataFrame) -> None:
    where = formatting.clean(f"{row.iloc[0].get('file', '')}:{row.iloc[0].get('row', '')}", 80)
    with st.container(gap="xxsmall"):
        if picture:
            st.image(picture, alt=where, width="stretch")
        else:
            st.caption(f":material/broken_image: {t('data.no_picture')}")
        st.caption(formatting.escape(row.iloc[0].get("label", ""), 40))


def reason_codes(text: str, outcome: str) -> list[str]:
    """The codes under which the data quality report counts a row's reason or repairs."""
    if outcome == QUARANTINED:
        return [reason_code(text)]
    fixes = [fix for fix in text.split("; ") if fix.startswith(REMARK_PREFIX) == (outcome == REMARKED)]
    return [reason_code(fix.removeprefix(REMARK_PREFIX)) for fix in fixes]


def with_raw_values(rows: pd.DataFrame, raw: pd.DataFrame, before: str) -> pd.DataFrame:
    """The rows with a column of raw values, titled `before`, in front of each column that cleaning changed."""
    keys = ["file", "row"]
    if not set(keys) <= set(rows.columns) & set(raw.columns):
        return rows
    raw_values = rows[keys].merge(raw.drop_duplicates(keys), on=keys, how="left").set_index(rows.index)
    shown = rows.copy()
    for name in [name for name in rows.columns if name in raw.columns and name not in keys]:
        present = raw_values[name].notna() | rows[name].notna()
        if (present & (raw_values[name].astype(str) != rows[name].astype(str))).any():
            shown.insert(shown.columns.get_loc(name), f"{name} ({before})", raw_values[name])
    return shown


def _raw_rows(artifacts: Artifacts, rows: pd.DataFrame) -> pd.DataFrame:
    """The raw rows of these rows, matched by their row number; empty without one."""
    if "row" not in rows:
        return rows.head(0)
    columns = [name for name in artifacts.columns("raw") if name not in (*HIDDEN_COLUMNS, *column_drift.HOUSEKEEPING[2:])]
    return artifacts.rows("raw", columns, [("row", "in", rows["row"].tolist())])


def _flatten_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with lists, arrays and bytes as short text, which a table can show."""
    plain = (str, int, float, bool, type(None), pd.Timestamp)
    return rows.map(lambda cell: cell if isinstance(cell, plain) or pd.api.types.is_scalar(cell) else formatting.clean(cell, 120))


def _with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={name: t(f"data.{name}") for name in ("rows_in", "kept", "quarantined", "duplicates", "file")})


def share_of(part: int | None, whole: int) -> str:
    return formatting.percent((part or 0) / whole) if whole else ""
