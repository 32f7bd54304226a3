"""Cards, badges, charts, tables and downloads that look the same on every page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard.charts.theme import Drawing
from dashboard.readers.runs.run_records import StageState, State
from dashboard.text import formatting, translations
from dashboard.ui.locale import t

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]
RUN_BADGES: dict[State, tuple[Colour, str]] = {
    "pending": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/sync:"),
    "completed": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/block:"),
    "crashed": ("red", ":material/bolt:"),
    "none": ("gray", ":material/folder:"),
}
STAGE_BADGES: dict[StageState, tuple[Colour, str]] = {
    "waiting": ("gray", ":material/radio_button_unchecked:"),
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/sync:"),
    "retrying": ("yellow", ":material/replay:"),
    "unchanged": ("green", ":material/equal:"),
    "restored": ("green", ":material/download_done:"),
    "done": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "crashed": ("red", ":material/bolt:"),
    "cancelled": ("orange", ":material/block:"),
    "notrun": ("gray", ":material/remove_circle_outline:"),
}


def run_badge(state: State) -> None:
    """A run's state as a coloured badge."""
    colour, icon = RUN_BADGES[state]
    st.badge(t(f"state.{state}"), color=colour, icon=icon)


def stage_badge(state: StageState) -> None:
    """A stage's state as a coloured badge."""
    colour, icon = STAGE_BADGES[state]
    st.badge(t(f"stage_state.{state}"), color=colour, icon=icon)


def cards(values: Mapping[str, tuple[str, str]], *, columns: int = 4) -> None:
    """Key figures side by side: a value and a note (interval, count) for each label."""
    with st.grid(columns, min_column_width=140):
        for label, (value, small) in values.items():
            st.metric(
                formatting.escape(label),
                value,
                small or None,
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
            )


def chart(drawing: Drawing, data: pd.DataFrame, *, key: str, alt_text: str) -> None:
    """A chart, and its data as a table and as CSV."""
    st.altair_chart(drawing, key=key, alt=alt_text)
    chart_data(data, key=key, alt_text=alt_text)


def chart_data(data: pd.DataFrame, *, key: str, alt_text: str) -> None:
    """The data of a chart in a popover: as a table and as CSV."""
    box = st.popover(t("data.chart_data"), icon=":material/table_rows:", type="tertiary", key=f"{key}_data", on_change="rerun")
    if box.open:
        with box:
            st.dataframe(sanitized(data), hide_index=True, alt=alt_text, key=f"{key}_table", column_config=_column_labels(data))
            download(data, key)


def table(
    data: pd.DataFrame,
    *,
    key: str,
    alt_text: str,
    columns: Mapping[str, Any] | None = None,
    csv: pd.DataFrame | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    **more: Any,
) -> Any:
    """A table with a CSV download, which may have more columns than the table.

    `formats` words the values of columns; sorting and the CSV file keep the values.
    """
    shown = {**_column_labels(data), **(columns or {})}
    more = {"hide_index": True, "placeholder": formatting.NOTHING, **more}
    cells: Any = sanitized(data)
    if formats:
        cells = cells.style.format(dict(formats), na_rep=formatting.NOTHING)
    event = st.dataframe(cells, alt=alt_text, key=key, column_config=shown, **more)
    download(data if csv is None else csv, key)
    return event


def _column_labels(data: pd.DataFrame) -> dict[str, Any]:
    """The translated headers of the columns whose names are the same in every project."""
    return {str(name): t(f"column.{name}") for name in data.columns if translations.has(f"column.{name}")}


def download(data: pd.DataFrame, name: str) -> None:
    """A download of the data as CSV; no spreadsheet takes its cells for formulas."""
    st.download_button(
        t("data.csv"),
        as_csv(data),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}_csv",
        on_click="ignore",
    )


def as_csv(data: pd.DataFrame) -> Callable[[], bytes]:
    """A function that writes the data as CSV when somebody downloads it."""

    def make() -> bytes:
        buffer = io.StringIO()
        data.rename(columns=formatting.csv_cell).map(formatting.csv_cell).to_csv(buffer, index=False)
        return buffer.getvalue().encode()

    return make


def sanitized(data: pd.DataFrame) -> pd.DataFrame:
    """The data without control characters and overlong texts; timestamps that are all at midnight become dates."""
    text_columns = [name for name in data.columns if data[name].dtype == object or pd.api.types.is_string_dtype(data[name])]
    shown = data.copy(deep=False)
    for name in text_columns:
        shown[name] = data[name].map(lambda cell: formatting.clean(cell, 500) if isinstance(cell, str) else cell)
    for name in data.select_dtypes("datetime"):
        if (data[name].dropna() == data[name].dropna().dt.normalize()).all():
            shown[name] = data[name].dt.date
    return shown
