"""Cards, badges, charts, tables and downloads, the same on every page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard.charts.theme import Drawing
from dashboard.readers.run_records import StageState, State
from dashboard.text import formatting, translations
from dashboard.ui.locale import t

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]
RUN_LOOKS: dict[State, tuple[Colour, str]] = {
    "pending": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/sync:"),
    "completed": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/block:"),
    "crashed": ("red", ":material/bolt:"),
    "none": ("gray", ":material/folder:"),
}
STAGE_LOOKS: dict[StageState, tuple[Colour, str]] = {
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


def badge(state: State) -> None:
    """A run's state as a coloured label."""
    colour, icon = RUN_LOOKS[state]
    st.badge(t(f"state.{state}"), color=colour, icon=icon)


def stage_badge(state: StageState) -> None:
    colour, icon = STAGE_LOOKS[state]
    st.badge(t(f"stage_state.{state}"), color=colour, icon=icon)


def cards(values: Mapping[str, tuple[str, str]], *, columns: int = 4) -> None:
    """Key figures beside each other: label -> value and the small print under it (interval, count)."""
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
    numbers(data, key=key, alt_text=alt_text)


def numbers(data: pd.DataFrame, *, key: str, alt_text: str) -> None:
    """The data behind a chart, folded away: as a table and as CSV."""
    box = st.popover(t("data.behind"), icon=":material/table_rows:", type="tertiary", key=f"{key}_data", on_change="rerun")
    if box.open:
        with box:
            st.dataframe(harmless(data), hide_index=True, alt=alt_text, key=f"{key}_table", column_config=_heads(data))
            download(data, key)


def table(
    data: pd.DataFrame,
    *,
    key: str,
    alt_text: str,
    columns: Mapping[str, Any] | None = None,
    csv: pd.DataFrame | None = None,
    **more: Any,
) -> Any:
    """A table with its CSV, which may hold more than is shown."""
    shown = {**_heads(data), **(columns or {})}
    more = {"hide_index": True, "placeholder": formatting.NOTHING, **more}
    found = st.dataframe(harmless(data), alt=alt_text, key=key, column_config=shown, **more)
    download(data if csv is None else csv, key)
    return found


def _heads(data: pd.DataFrame) -> dict[str, Any]:
    """The heads of columns whose names are the same in every project, in the reader's language."""
    return {str(name): t(f"column.{name}") for name in data.columns if translations.has(f"column.{name}")}


def download(data: pd.DataFrame, name: str) -> None:
    """The data as a CSV file whose cells no spreadsheet takes for formulas."""
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
    """Made when it is asked for."""

    def make() -> bytes:
        buffer = io.StringIO()
        data.rename(columns=formatting.neutral).map(formatting.neutral).to_csv(buffer, index=False)
        return buffer.getvalue().encode()

    return make


def harmless(data: pd.DataFrame) -> pd.DataFrame:
    """Text cells without control characters and no longer than a screen takes; days without the hour that they do not have."""
    words = [name for name in data.columns if data[name].dtype == object or pd.api.types.is_string_dtype(data[name])]
    shown = data.copy(deep=False)
    for name in words:
        shown[name] = data[name].map(lambda cell: formatting.clean(cell, 500) if isinstance(cell, str) else cell)
    for name in data.select_dtypes("datetime"):
        if (data[name].dropna() == data[name].dropna().dt.normalize()).all():
            shown[name] = data[name].dt.date
    return shown
