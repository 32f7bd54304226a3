"""Ask about rows of a table: test rows of some days, or a file of one's own, checked by the same rules as the pipeline's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pandas as pd
import streamlit as st

from dashboard.charts import classification_charts, finance_charts
from dashboard.readers import model_inputs
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.predict.model_comparison import ComparedModel
from tasks.core.use_case import UseCase

MAX_UPLOAD_MB = 20
MOST_FAULTS = 200
FIRST_DAYS = 120
MOST_COLUMNS = 10
"""Columns of a row that are told to have spoken for its answer."""
FOUND = ("file", "row", "doubt", "kinds")
"""Columns of raw rows that `fetch` adds."""
RISK = {"next_date", "next_return", "variance", "quantile_5"}
"""Columns of a prediction of risk."""


def show(artifacts: Artifacts, case: UseCase, ring: Sequence[ComparedModel]) -> None:
    """Rows from here or there, and what each model says of them."""
    way = pickers.choose_from("way", ["rows", "upload"], t("try_it.way"), "rows", lambda name: t(f"try_it.{name}"), few=True)
    rows = _uploaded(artifacts, case) if way == "upload" else _of_test(artifacts, case)
    if rows is None:
        return
    if rows.empty:
        st.info(t("try_it.no_rows"), icon=":material/info:")
        return
    told: dict[str, pd.DataFrame] = {}
    for place, contestant in zip(st.columns(len(ring), gap="medium"), ring, strict=True):
        with place, st.container(border=True), page_context.or_say():
            told[contestant.name] = model_inputs.answers(case, contestant.model, rows)
            one = model_inputs.encoded(case, contestant.model, rows.head(1))
            time = formatting.milliseconds(contestant.model.milliseconds(one))
            st.markdown(f"**{formatting.escape(contestant.name)}**")
            st.caption(t("try_it.cost", time=time, size=formatting.size(contestant.model.bytes)))
    if told:
        with st.container(border=True):
            picked = _together(rows, told)
        _spoke(case, ring, rows, told, picked)


def _of_test(artifacts: Artifacts, case: UseCase) -> pd.DataFrame | None:
    """Test rows: of one series and some days where they have such, else the first ones."""
    rows = artifacts.whole_rows("clean/rows", case.Schema.to_schema().columns, [("split", "==", "test")])
    if rows.empty:
        return rows
    days = next((name for name in ("next_date", "date") if name in rows and pd.api.types.is_datetime64_any_dtype(rows[name])), "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if "ticker" in rows:
            tickers = sorted(rows["ticker"].astype(str).unique())
            ticker = pickers.choose_from("ticker", tickers, t("risk.series"), tickers[0], few=True)
            rows = rows[rows["ticker"] == ticker]
        if not days or rows.empty:
            count = st.number_input(t("try_it.count"), 1, max(1, min(len(rows), 1000)), min(len(rows), 50) or 1, key="count")
            return rows.head(int(count)).reset_index(drop=True)
        first, last = rows[days].min().date(), rows[days].max().date()
        begin = max(first, last - timedelta(days=FIRST_DAYS))
        span = st.date_input(t("try_it.days"), (begin, last), first, last, key="days", format="YYYY-MM-DD")
    if not isinstance(span, tuple) or len(span) != 2:
        st.caption(t("try_it.days_open"))
        return None
    low, high = (pd.Timestamp(day) for day in span)
    return rows[(rows[days] >= low) & (rows[days] <= high)].sort_values(days).reset_index(drop=True)


def _uploaded(artifacts: Artifacts, case: UseCase) -> pd.DataFrame | None:
    """A person's file by the rules of `clean`: what is wrong with it, and the rows that can be asked about."""
    file = st.file_uploader(
        t("try_it.table"), type=["csv", "tsv", "parquet", "jsonl"], key="sheet", max_upload_size=MAX_UPLOAD_MB
    )
    if file is None:
        st.caption(
            t(
                "try_it.columns",
                columns=formatting.escape(", ".join(name for name in artifacts.columns("raw") if name not in FOUND), 600),
            )
        )
        return None
    checked = model_inputs.from_file(case, file.getvalue(), file.name)
    good, read = formatting.number(len(checked.rows)), formatting.number(checked.read)
    st.caption(t("try_it.checked", good=good, read=read, bad=formatting.number(len(checked.faults))))
    if len(checked.faults):
        with st.expander(t("try_it.faults", count=formatting.number(len(checked.faults))), icon=":material/rule:"):
            widgets.table(checked.faults.head(MOST_FAULTS), key="faults", alt_text=t("try_it.faults", count=len(checked.faults)))
    return checked.rows


def _together(rows: pd.DataFrame, told: dict[str, pd.DataFrame]) -> int:
    """The models' answers side by side, row by row; forecasts of risk drawn against what came. Gives the row to explain."""
    first = next(iter(told.values()))
    own = [name for name in first.columns if name not in rows.columns and name not in ("classes", "probabilities")]
    known = [
        name for name in first.columns if name not in own and name not in ("classes", "probabilities", "file", "row", "split")
    ]
    if set(first.columns) >= RISK and rows["ticker"].nunique() == 1:
        st.echarts_chart(
            finance_charts.limits(_lines(told), t("risk.came")), key="limits", height=380, alt=t("try_it.limits_alt")
        )
    frame = first[known].copy()
    for name, answers in told.items():
        for column in own:
            frame[f"{column} · {name}" if len(told) > 1 else column] = answers[column].to_numpy()
    if frame.empty:
        raise Unreadable("unreadable.rows")
    event = widgets.table(
        frame, key="answers", alt_text=t("try_it.answers"), height=320, on_select="rerun", selection_mode="single-row"
    )
    picked = event.selection.rows if event else []
    return int(picked[0]) if picked and picked[0] < len(frame) else 0


def _spoke(case: UseCase, ring: Sequence[ComparedModel], rows: pd.DataFrame, told: dict[str, pd.DataFrame], at: int) -> None:
    """Which columns of a row spoke for each model's answer, where the answer is a class."""
    explained = [one for one in ring if {"predicted", "probabilities"} <= set(told.get(one.name, ()))]
    if not explained or not model_inputs.columns_of(case, rows):
        return
    with st.container(border=True):
        st.markdown(f"**{t('try_it.spoke', row=at + 1)}**")
        st.caption(t("try_it.spoke_note"))
        for place, one in zip(st.columns(len(explained), gap="medium"), explained, strict=True):
            with place, page_context.or_say():
                answer = told[one.name].iloc[at]
                sure = formatting.percent(float(answer["confidence"]))
                st.markdown(f"{formatting.escape(one.name)}: **{formatting.escape(answer['predicted'], 40)}** ({sure})")
                worth = model_inputs.columns_that_spoke(case, one.model, rows, at).head(MOST_COLUMNS)
                if worth.empty:
                    st.caption(t("try_it.usual_row"))
                    continue
                drawing = classification_charts.worths(worth, title=t("try_it.worth"))
                widgets.chart(drawing, worth, key=f"worth_{one.recipe}", alt_text=t("try_it.spoke", row=at + 1))


def _lines(told: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """`day`, `came`, and the 5 % limit that each model forecast."""
    first = next(iter(told.values()))
    day = pd.to_datetime(first["next_date"]).dt.strftime("%Y-%m-%d").fillna(t("try_it.next_day"))
    limits = {name: answers["quantile_5"].round(4) for name, answers in told.items()}
    return pd.DataFrame({"day": day, "came": first["next_return"].round(4), **limits})
