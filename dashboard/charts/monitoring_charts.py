"""Charts of the models in use: requests and latency over time, and the shares of a statistic now beside the reference."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.theme import Drawing, series, sized


def over_time(points: pd.DataFrame, *, value: str, order: Sequence[str], height: int = 220) -> Drawing:
    """A line per series over time: columns at, series, value."""
    encoded = (
        alt.Chart(points)
        .mark_line(strokeWidth=2, point=len(points) < 40)
        .encode(
            x=alt.X("at:T", title=None, axis=alt.Axis(grid=False)),
            y=alt.Y("value:Q", title=value, scale=alt.Scale(zero=True)),
            color=series(order),
            tooltip=["series:N", alt.Tooltip("at:T", format="%Y-%m-%d %H:%M"), alt.Tooltip("value:Q", format=",.4~r")],
        )
    )
    return sized(encoded, height)


def shares(rows: pd.DataFrame, *, share: str, order: Sequence[str]) -> Drawing:
    """Two bars per cell, side by side: columns cell, series, share."""
    cells = list(dict.fromkeys(rows["cell"]))
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("cell:N", sort=cells, title=None, axis=theme.y_axis_of_names(140)),
            x=alt.X("share:Q", title=share, axis=alt.Axis(format="%")),
            yOffset=alt.YOffset("series:N", sort=list(order)),
            color=series(order),
            tooltip=["cell:N", "series:N", alt.Tooltip("share:Q", format=".2%")],
        )
    )
    return theme.stepped(encoded, 26)
