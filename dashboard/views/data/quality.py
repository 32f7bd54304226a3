"""The data's books: rows in, kept, mended, quarantined and dropped, down to the rows themselves."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.analysis import column_drift
from dashboard.charts import data_charts
from dashboard.readers import run_records
from dashboard.readers.artifact_models import DataQualityReport
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import image_grid, locale, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import Context
from tasks.cleaning.quality_report import REMARK_PREFIX, reason_code

MOST_ROWS = 500
FEW_ROWS = 7
"""Rows for which a table is as high as they are."""
MOST_PICTURES = 24
REASON_PIXELS = 150
FATES = ("quarantine_or_drop", "mended", "remarked")
"""What can come of a row that broke a rule: sent away, kept and mended, kept as it is."""
UNSEEN = ("image", "pixels", "look")
LEAK = "leak"


def ledger(artifacts: Artifacts, context: Context) -> None:
    """Key figures, reasons, and the rows behind a reason."""
    books = artifacts.ledger()
    _cards(books)
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.markdown(f"**{t('data.reasons')}**")
        fate, code = _reasons(books)
    with right, st.container(border=True, height="stretch"), page_context.or_say():
        _failing(artifacts, fate, code)
    if books.files:
        with st.expander(t("data.by_file", count=len(books.files)), icon=":material/folder_open:"):
            frame = pd.DataFrame.from_dict(books.files, orient="index").rename_axis("file").reset_index()
            widgets.table(_named(frame), key="by_file", alt_text=t("data.by_file", count=len(books.files)))


def before_and_after(artifacts: Artifacts, context: Context) -> None:
    """One column as it came and as it was kept."""
    raw, clean = column_drift.interesting(artifacts, "raw"), column_drift.interesting(artifacts, "clean/rows")
    shared = [name for name in clean if name in raw]
    if not shared:
        st.caption(t("data.no_columns"))
        return
    name = pickers.choose_from("column", shared, t("data.column"), shared[0], few=True)
    before, after = artifacts.rows("raw", [name])[name], artifacts.rows("clean/rows", [name])[name]
    of = column_drift.kind(after) or column_drift.kind(before)
    if of is None:
        st.caption(t("data.no_scale", column=formatting.escape(name)))
        return
    tables = {t("data.before"): before, t("data.after"): after}
    bins = column_drift.histogram(tables, of)
    with st.container(border=True):
        st.markdown(f"**{formatting.escape(name)}**")
        st.caption(t(f"data.scale_{of}") + " " + _missing(before, after))
        drawing = data_charts.histogram(bins, share=t("data.share"), order=list(tables), title=t(f"data.axis_{of}"))
        widgets.chart(drawing, bins, key=f"columns_{name}", alt_text=t("data.columns_alt", column=formatting.clean(name)))


def splits(artifacts: Artifacts, context: Context) -> None:
    """How the rows were dealt, class by class, and whether anything leaks from one split into another."""
    books = artifacts.ledger()
    alike, leaks = books.near_duplicates, sum(books.leaks.values())
    widgets.cards(
        {
            t("data.train"): (formatting.number(books.splits.get("train", 0)), _share(books.splits.get("train"), books.kept)),
            t("data.validation"): (
                formatting.number(books.splits.get("validation", 0)),
                _share(books.splits.get("validation"), books.kept),
            ),
            t("data.test"): (formatting.number(books.splits.get("test", 0)), _share(books.splits.get("test"), books.kept)),
            t("data.leaks"): (formatting.number(leaks), _by_split(books.leaks)),
        }
    )
    st.caption(t("data.leaks_note"))
    if LEAK in books.reasons:
        box = st.expander(t("data.leaks_rows"), icon=":material/table_rows:", key="leaks", on_change="rerun")
        if box.open:
            with box, page_context.or_say():
                _failing(artifacts, FATES[0], LEAK)
    st.caption(t("data.alike", rows=formatting.number(alike.get("rows", 0)), groups=formatting.number(alike.get("groups", 0))))
    if books.contradictions:
        st.warning(t("data.contradictions", count=books.contradictions), icon=":material/warning:")
    if not books.classes:
        st.caption(t("data.no_classes"))
        return
    frame = pd.DataFrame(
        [(name, split, count) for name, counts in books.classes.items() for split, count in counts.items()],
        columns=["class", "split", "rows"],
    )
    with st.container(border=True):
        st.markdown(f"**{t('data.balance')}**")
        dealt = {name: t(f"data.{name}") for name in ("train", "validation", "test")}
        drawing = data_charts.stacked(
            frame.replace({"split": dealt}), x="class", y="rows", colour="split", order=list(dealt.values()), title=t("data.rows")
        )
        widgets.chart(drawing, frame, key="balance", alt_text=t("data.balance"))


def drift(artifacts: Artifacts, context: Context) -> None:
    """The clean rows of this run against those of another."""
    assert context.run
    others = [run for run in run_records.latest(context.root, context.use_case) if run.id != context.run.id]
    if not others:
        st.caption(t("data.drift_alone"))
        return
    by_id = {run.id: run for run in others}
    chosen = pickers.choose_from(
        "against", list(by_id), t("data.against"), others[0].id, lambda run_id: pickers.run_label(by_id[run_id])
    )
    other = Artifacts(context.root, by_id[chosen].folder, context.use_case)
    wanted = [*column_drift.interesting(artifacts, "clean/rows"), column_drift.PICTURE]
    shared = [name for name in wanted if all(name in each.columns("clean/rows") for each in (artifacts, other))]
    pairs = {name: (other.rows("clean/rows", [name])[name], artifacts.rows("clean/rows", [name])[name]) for name in shared}
    if pairs and all(then.equals(now) for then, now in pairs.values()):
        st.info(t("data.drift_none"), icon=":material/equal:")
        return
    moved = [column_drift.drift(name, then, now) for name, (then, now) in pairs.items() if name != column_drift.PICTURE]
    frame = pd.DataFrame(
        [
            {
                t("data.column"): each.column,
                t("data.verdict"): t(f"data.{each.verdict}"),
                "PSI": each.psi,
                t("data.distance"): each.distance,
                "p": formatting.chance(each.chance),
                t("data.rows_then"): each.rows[0],
                t("data.rows_now"): each.rows[1],
            }
            for each in sorted(filter(None, moved), key=lambda each: -each.psi)
        ]
    )
    st.caption(t("data.drift_note", steady=column_drift.STEADY, moved=column_drift.MOVED))
    if frame.empty:
        st.caption(t("data.no_columns"))
        return
    number = st.column_config.NumberColumn(format="%.4f")
    widgets.table(frame, key="drift", alt_text=t("data.drift"), columns={"PSI": number, t("data.distance"): number})


def _cards(books: DataQualityReport) -> None:
    widgets.cards(
        {
            t("data.rows_in"): (
                formatting.number(books.rows_in),
                t("data.rows_in_small", files=formatting.number(len(books.files))),
            ),
            t("data.kept"): (formatting.number(books.kept), _share(books.kept, books.rows_in)),
            t("data.fixed"): (formatting.number(books.fixed), t("data.fixed_small")),
            t("data.quarantined"): (formatting.number(books.quarantined), _share(books.quarantined, books.rows_in)),
            t("data.duplicates"): (formatting.number(books.duplicates), _share(books.duplicates, books.rows_in)),
        },
        columns=5,
    )
    balance = books.kept + books.quarantined + books.duplicates
    key = "data.balanced" if balance == books.rows_in else "data.unbalanced"
    st.caption(t(key, rows=formatting.number(books.rows_in), sum=formatting.number(balance)))


def _reasons(books: DataQualityReport) -> tuple[str, str]:
    """The reasons with their counts; gives the fate and the code of the one to look at."""
    told = [
        (code, fate, count)
        for fate, counts in zip(FATES, (books.reasons, books.fixes, books.remarks), strict=True)
        for code, count in counts.items()
    ]
    if not told:
        st.caption(t("data.spotless"))
        return FATES[0], ""
    frame = pd.DataFrame([(code, t(f"data.{fate}"), count) for code, fate, count in told], columns=["reason", "fate", "rows"])
    named = {
        "reason": st.column_config.TextColumn(t("data.reason"), width=REASON_PIXELS),
        "fate": st.column_config.TextColumn(t("data.fate"), width="small"),
        "rows": st.column_config.NumberColumn(t("data.rows"), format="localized", width="small"),
    }
    event = widgets.table(
        frame, key="reasons", alt_text=t("data.reasons"), columns=named, on_select="rerun", selection_mode="single-row"
    )
    picked = event.selection.rows if event else []
    if picked and picked[0] < len(told):
        st.query_params["reason"] = told[picked[0]][0]
    asked = st.query_params.get("reason", "")
    code, fate, _ = next((one for one in told if one[0] == asked), told[0])
    return fate, code


def _failing(artifacts: Artifacts, fate: str, code: str) -> None:
    """The rows a reason sent away, mended or remarked on, with their values; of mended ones also what they were before."""
    if not code:
        st.caption(t("data.no_failing"))
        return
    st.markdown(t("data.rows_of", reason=formatting.code(code, 60)))
    told = "reason" if fate == FATES[0] else "fix"
    rows = artifacts.whole_rows("clean/quarantine", [told]) if fate == FATES[0] else artifacts.whole_rows("clean/rows", [told])
    chosen = rows[rows[told].map(lambda words: code in codes(str(words), fate)).astype(bool)]
    if chosen.empty:
        raise Unreadable("unreadable.rows")
    if image_grid.column(chosen.columns):
        with st.grid("auto", min_column_width=96, gap="small"):
            for picture, row in image_grid.rows_with_pictures(chosen.head(MOST_PICTURES)):
                _tile(picture, row)
    shown = chosen.head(MOST_ROWS).drop(columns=[name for name in UNSEEN if name in chosen])
    shown = shown[sorted(shown.columns, key=lambda name: name not in ("file", "row", "reason"))]
    if fate == FATES[1]:
        shown = beside_raw(_flat(shown), _flat(_raw(artifacts, shown)), t("data.before"))
    height: str | int = "auto" if len(shown) <= FEW_ROWS else 300
    widgets.table(_flat(shown), key="failing", alt_text=t("data.failing_alt", reason=formatting.clean(code, 60)), height=height)
    if len(chosen) > MOST_ROWS:
        st.caption(t("data.first_rows", shown=MOST_ROWS, total=formatting.number(len(chosen))))


def _tile(picture: bytes | None, row: pd.DataFrame) -> None:
    where = formatting.clean(f"{row.iloc[0].get('file', '')}:{row.iloc[0].get('row', '')}", 80)
    with st.container(gap="xxsmall"):
        if picture:
            st.image(picture, alt=where, width="stretch")
        else:
            st.caption(f":material/broken_image: {t('data.no_picture')}")
        st.caption(formatting.escape(row.iloc[0].get("label", ""), 40))


def codes(words: str, fate: str) -> list[str]:
    """What a row's reason or fixes are counted under, as the ledger does."""
    if fate == FATES[0]:
        return [reason_code(words)]
    fixes = [fix for fix in words.split("; ") if fix.startswith(REMARK_PREFIX) == (fate == FATES[2])]
    return [reason_code(fix.removeprefix(REMARK_PREFIX)) for fix in fixes]


def beside_raw(rows: pd.DataFrame, raw: pd.DataFrame, before: str) -> pd.DataFrame:
    """The rows with what cleaning changed in them: each changed column has a column `before` ahead of it."""
    at = ["file", "row"]
    if not set(at) <= set(rows.columns) & set(raw.columns):
        return rows
    came = rows[at].merge(raw.drop_duplicates(at), on=at, how="left").set_index(rows.index)
    shown = rows.copy()
    for name in [name for name in rows.columns if name in raw.columns and name not in at]:
        known = came[name].notna() | rows[name].notna()
        if (known & (came[name].astype(str) != rows[name].astype(str))).any():
            shown.insert(shown.columns.get_loc(name), f"{name} ({before})", came[name])
    return shown


def _raw(artifacts: Artifacts, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as they came, as far as they can be told apart by file and row."""
    if "row" not in rows:
        return rows.head(0)
    wanted = [name for name in artifacts.columns("raw") if name not in (*UNSEEN, *column_drift.HOUSEKEEPING[2:])]
    return artifacts.rows("raw", wanted, [("row", "in", rows["row"].tolist())])


def _flat(rows: pd.DataFrame) -> pd.DataFrame:
    """Lists, arrays and bytes as short text, so that a table can show them."""
    plain = (str, int, float, bool, type(None), pd.Timestamp)
    return rows.map(lambda cell: cell if isinstance(cell, plain) or pd.api.types.is_scalar(cell) else formatting.clean(cell, 120))


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={name: t(f"data.{name}") for name in ("rows_in", "kept", "quarantined", "duplicates", "file")})


def _missing(before: pd.Series, after: pd.Series) -> str:
    return t(
        "data.missing",
        before=formatting.percent(float(before.isna().mean())),
        after=formatting.percent(float(after.isna().mean())),
        rows_before=formatting.number(len(before)),
        rows_after=formatting.number(len(after)),
    )


def _by_split(leaks: dict[str, int]) -> str:
    """How many stood beside one of each split."""
    return " · ".join(f"{locale.word('data', split)} {formatting.number(count)}" for split, count in leaks.items())


def _share(part: int | None, whole: int) -> str:
    return formatting.percent((part or 0) / whole) if whole else ""
