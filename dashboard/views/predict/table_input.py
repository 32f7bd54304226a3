"""Predictions for rows of a table: test rows, or an uploaded file that passes the checks of the pipeline's clean stage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pandas as pd
import streamlit as st

from dashboard.charts import classification_charts, finance_charts
from dashboard.readers import model_inputs, onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.predict import abstention, model_comparison
from dashboard.views.predict.model_comparison import ComparedModel
from tasks.core.use_case import UseCase

MAX_UPLOAD_MB = 20
MAX_ERRORS = 200
DEFAULT_DAYS = 120
MAX_COLUMNS = 10
"""Columns in the explanation of a prediction."""
FETCH_COLUMNS = ("file", "row", "doubt", "kinds")
"""Columns that the fetch stage adds to raw rows."""
HIDDEN_COLUMNS = ("classes", "probabilities", "prediction_set", "target", "file", "row", "split")
"""Columns of predictions that their table leaves out: lists, the label as a number, and provenance."""
ANSWER_COLUMNS = ("predicted", "confidence", "probability", "threshold", "refused", "value", "abstains")
"""Columns of predictions, also where a column of the table has the same name."""
RISK_COLUMNS = {"next_date", "next_return", "variance", "quantile_5"}
"""Columns of a risk forecast."""


def show(artifacts: Artifacts, case: UseCase, models: Sequence[ComparedModel]) -> None:
    """Choose or upload rows, and show the predictions of each model."""
    way = pickers.choose_from(
        "way", ["rows", "upload"], t("try_it.way"), "rows", lambda name: t(f"try_it.{name}"), as_buttons=True
    )
    rows = _uploaded_rows(artifacts, case, models) if way == "upload" else _test_rows(artifacts, case)
    if rows is None:
        return
    if rows.empty:
        st.info(t("try_it.no_rows"), icon=":material/info:")
        return
    predictions: dict[str, pd.DataFrame] = {}
    for column, compared in zip(st.columns(len(models), gap="medium"), models, strict=True):
        with column, st.container(border=True), page_context.error_boundary():
            predictions[compared.name] = model_inputs.predict(case, compared.model, rows)
            single = model_inputs.encode(case, compared.model, rows.head(1))
            time = formatting.milliseconds(onnx_models.milliseconds(compared.model, single))
            st.markdown(f"**{formatting.escape(compared.name)}**")
            st.caption(t("try_it.cost", time=time, size=formatting.size(compared.model.bytes)))
    if predictions:
        with st.container(border=True):
            picked = _predictions_table(rows, predictions)
        _explanations(case, models, rows, predictions, picked)


def _test_rows(artifacts: Artifacts, case: UseCase) -> pd.DataFrame | None:
    """Test rows: one series and a range of days if the rows have them, else the first rows; None while the range is open."""
    rows = artifacts.rows_with_columns("clean/rows", case.Schema.to_schema().columns, [("split", "==", "test")])
    if rows.empty:
        return rows
    days = next((name for name in ("next_date", "date") if name in rows and pd.api.types.is_datetime64_any_dtype(rows[name])), "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if "ticker" in rows:
            tickers = sorted(rows["ticker"].astype(str).unique())
            ticker = pickers.choose_from("ticker", tickers, t("risk.series"), tickers[0], as_buttons=True)
            rows = rows[rows["ticker"] == ticker]
        if not days or rows.empty:
            count = st.number_input(t("try_it.count"), 1, max(1, min(len(rows), 1000)), min(len(rows), 50) or 1, key="count")
            return rows.head(int(count)).reset_index(drop=True)
        first, last = rows[days].min().date(), rows[days].max().date()
        begin = max(first, last - timedelta(days=DEFAULT_DAYS))
        span = st.date_input(t("try_it.days"), (begin, last), first, last, key="days", format="YYYY-MM-DD")
    if not isinstance(span, tuple) or len(span) != 2:
        st.caption(t("try_it.days_open"))
        return None
    low, high = (pd.Timestamp(day) for day in span)
    return rows[(rows[days] >= low) & (rows[days] <= high)].sort_values(days).reset_index(drop=True)


def _uploaded_rows(artifacts: Artifacts, case: UseCase, models: Sequence[ComparedModel]) -> pd.DataFrame | None:
    """The valid rows of an uploaded file, and its errors by the checks of the clean stage; None without a file."""
    file = st.file_uploader(
        t("try_it.table"), type=["csv", "tsv", "parquet", "jsonl"], key="sheet", max_upload_size=MAX_UPLOAD_MB
    )
    if file is None:
        st.caption(
            t(
                "try_it.columns",
                columns=formatting.escape(", ".join(name for name in artifacts.columns("raw") if name not in FETCH_COLUMNS), 600),
            )
        )
        return None
    checked = model_inputs.rows_from_file(case, file.getvalue(), file.name, models[0].model.state)
    good, read = formatting.number(len(checked.rows)), formatting.number(checked.read)
    st.caption(t("try_it.checked", good=good, read=read, bad=formatting.number(len(checked.rejected))))
    if len(checked.rejected):
        title = t("try_it.rejected", count=formatting.number(len(checked.rejected)))
        with st.expander(title, icon=":material/rule:"):
            widgets.table(checked.rejected.head(MAX_ERRORS), key="rejected", alt_text=title)
    return checked.rows


def _predictions_table(rows: pd.DataFrame, predictions: dict[str, pd.DataFrame]) -> int:
    """The models' predictions side by side; risk forecasts also as a chart. Returns the position of the row to explain."""
    first = next(iter(predictions.values()))
    shown = [name for name in first.columns if name not in HIDDEN_COLUMNS]
    input_columns = [name for name in shown if name in rows.columns and name not in ANSWER_COLUMNS]
    prediction_columns = [name for name in shown if name not in input_columns]
    if set(first.columns) >= RISK_COLUMNS and rows["ticker"].nunique() == 1:
        st.echarts_chart(
            finance_charts.var_forecasts(_limit_lines(predictions), t("risk.came")),
            key="limits",
            height=380,
            alt=t("try_it.limits_alt"),
        )
    frame = first[input_columns].copy()
    if numeric := {"label", "target", "value"} <= set(first.columns):
        frame["label"] = first["target"]
    for name, answers in predictions.items():
        for column in [name for name in prediction_columns if name in answers]:
            title = "predicted" if numeric and column == "value" else column
            values = answers[column]
            if column == "abstains":
                sets = answers["prediction_set"]
                values = pd.Series(map(abstention.reason_text, values, sets), dtype=object)
            frame[f"{title} · {name}" if len(predictions) > 1 else title] = values.to_numpy()
    if frame.empty:
        raise Unreadable("unreadable.rows")
    event = widgets.table(
        frame, key="answers", alt_text=t("try_it.answers"), height=320, on_select="rerun", selection_mode="single-row"
    )
    picked = event.selection.rows if event else []
    return int(picked[0]) if picked and picked[0] < len(frame) else 0


def _explanations(
    case: UseCase, models: Sequence[ComparedModel], rows: pd.DataFrame, predictions: dict[str, pd.DataFrame], at: int
) -> None:
    """The prediction of one row and the contribution of each column to it, for each model that predicts classes or numbers."""
    explained = [compared for compared in models if _predicts_class_or_number(compared, predictions)]
    if not explained or not model_inputs.free_columns(case, rows):
        return
    numeric = model_inputs.predicts_numbers(explained[0].model.state)
    note, title = ("contributions_note_number", "contribution_number") if numeric else ("contributions_note", "contribution")
    with st.container(border=True):
        st.markdown(f"**{t('try_it.contributions', row=at + 1)}**")
        st.caption(t(f"try_it.{note}"))
        for column, compared in zip(st.columns(len(explained), gap="medium"), explained, strict=True):
            with column, page_context.error_boundary():
                _row_prediction(compared, predictions[compared.name].iloc[at])
                contributions = model_inputs.column_contributions(case, compared.model, rows, at).head(MAX_COLUMNS)
                if contributions.empty:
                    st.caption(t("try_it.typical_row"))
                    continue
                drawing = classification_charts.contributions(contributions, title=t(f"try_it.{title}"), percent=not numeric)
                widgets.chart(
                    drawing, contributions, key=f"worth_{compared.recipe}", alt_text=t("try_it.contributions", row=at + 1)
                )


def _predicts_class_or_number(compared: ComparedModel, predictions: dict[str, pd.DataFrame]) -> bool:
    if compared.name not in predictions:
        return False
    classes = {"predicted", "probabilities"} <= set(predictions[compared.name])
    return classes or model_inputs.predicts_numbers(compared.model.state)


def _row_prediction(compared: ComparedModel, prediction: pd.Series) -> None:
    """A row's predicted number, or its class with the confidence; among more than two classes, the probability of each."""
    name = formatting.escape(compared.name)
    if model_inputs.predicts_numbers(compared.model.state):
        st.markdown(f"{name}: **{formatting.escape(formatting.significant(float(prediction['value'])))}**")
        return
    confidence = formatting.percent(float(prediction["confidence"]))
    st.markdown(f"{name}: **{formatting.escape(prediction['predicted'], 40)}** ({confidence})")
    abstention.show_reason(prediction.get("abstains", ""), prediction.get("prediction_set", []))
    if len(prediction["classes"]) > 2:
        model_comparison.probability_bars(prediction["classes"], prediction["probabilities"], compared.recipe)


def _limit_lines(predictions: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns `day` and `came`, and the 5 % limit that each model forecasts."""
    first = next(iter(predictions.values()))
    day = pd.to_datetime(first["next_date"]).dt.strftime("%Y-%m-%d").fillna(t("try_it.next_day"))
    limits = {name: answers["quantile_5"].round(4) for name, answers in predictions.items()}
    return pd.DataFrame({"day": day, "came": first["next_return"].round(4), **limits})
