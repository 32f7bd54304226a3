"""Charts of the machine during a run, with the same axis of time as the timeline of its stages."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts.theme import Drawing, series

NAME_PIXELS = 140
"""The width of the names of stages, and so of the space before the other charts of the same time."""
PLOT_PIXELS = 80


def usage(points: pd.DataFrame, *, title: str, order: Sequence[str], seconds: str, end: float, axis_format: str) -> Drawing:
    """A line per series over the seconds of a run: columns seconds, series, value. `seconds` titles the axis; "" does not."""
    across = alt.Axis(grid=True, format="~s")
    up = alt.Axis(format=axis_format, minExtent=NAME_PIXELS, maxExtent=NAME_PIXELS, tickCount=3)
    encoded = (
        alt.Chart(points)
        .mark_line(strokeWidth=2, interpolate="step-after")
        .encode(
            x=alt.X("seconds:Q", title=seconds or None, scale=alt.Scale(domain=[0, end], nice=False), axis=across),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=True), axis=up),
            color=series(order),
            tooltip=["series:N", alt.Tooltip("seconds:Q", format=".0f"), alt.Tooltip("value:Q", format=axis_format)],
        )
    )
    drawing: Drawing = encoded.properties(
        title=alt.Title(title, anchor="start", fontSize=13, offset=2),
        height=PLOT_PIXELS,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    return drawing
