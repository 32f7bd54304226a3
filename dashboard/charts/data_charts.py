"""Charts of rows: histograms of a column in two tables, and rows per class and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.theme import Drawing, series, sized, x_axis_of_names


def histogram(bins: pd.DataFrame, *, share: str, title: str, order: Sequence[str], height: int = 260) -> Drawing:
    """Overlaid histograms of two tables: columns table, share, rows, and bin or from/to."""
    colour = series(order, "table")
    y = alt.Y("share:Q", title=share, axis=alt.Axis(format="%"))
    counted: list[Any] = ["rows:Q", alt.Tooltip("share:Q", format=".1%")]
    if "bin" in bins:
        encoded = (
            alt.Chart(bins)
            .mark_bar()
            .encode(
                x=alt.X("bin:N", title=title, sort=None, axis=x_axis_of_names(list(bins["bin"].unique()))),
                y=y,
                xOffset=alt.XOffset("table:N", sort=list(order)),
                color=colour,
                tooltip=["table:N", alt.Tooltip("bin:N", title=title), *counted],
            )
        )
        return sized(encoded, height)
    dated = pd.api.types.is_datetime64_any_dtype(bins["from"])
    of, form = ("T", "%Y-%m-%d") if dated else ("Q", ".4~g")
    scale = alt.Scale(nice=False) if dated else alt.Scale(zero=False, nice=False)
    axis = alt.Axis(grid=False, format=form, tickCount=6) if dated else alt.Axis(grid=False)
    encoded = (
        alt.Chart(bins)
        .mark_rect(opacity=0.55)
        .encode(
            x=alt.X(f"from:{of}", title=title, scale=scale, axis=axis),
            x2=f"to:{of}",
            y=y,
            y2=alt.Y2Datum(0),
            color=colour,
            tooltip=["table:N", *[alt.Tooltip(f"{end}:{of}", format=form) for end in ("from", "to")], *counted],
        )
    )
    return sized(encoded, height)


def stacked(rows: pd.DataFrame, *, x: str, y: str, colour: str, order: Sequence[str], title: str, height: int = 260) -> Drawing:
    """Counts by class, stacked by split."""
    placed = alt.Chart(rows).transform_calculate(place=f"indexof({list(order)!r}, datum['{colour}'])").mark_bar()
    encoded = placed.encode(
        x=alt.X(f"{x}:N", title=None, sort=None, axis=x_axis_of_names(list(rows[x].unique()))),
        y=alt.Y(f"{y}:Q", title=title),
        color=series(order, colour),
        order=alt.Order("place:Q"),
        tooltip=[f"{x}:N", f"{colour}:N", alt.Tooltip(f"{y}:Q", format=",")],
    )
    return sized(encoded, height)
