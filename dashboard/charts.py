"""The charts, drawn from tidy tables: plain functions from a frame to a drawing, coloured by the theme."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

Drawing = alt.Chart | alt.LayerChart | alt.HConcatChart | alt.VConcatChart | alt.FacetChart
STATES = {
    "running": "#3B6FE0",
    "retrying": "#C79A1B",
    "done": "#1A9A68",
    "failed": "#D64545",
    "crashed": "#D64545",
    "cancelled": "#D9782D",
}
"""Colours of stages at work that hold on light and on dark ground."""
TOP = alt.Legend(title=None, orient="top")


def curves(points: pd.DataFrame, *, step: str, value: str, order: Sequence[str], height: int = 240) -> Drawing:
    """Lines of (step, value, series); with `order` the colours stay with their series. The best point is not marked here."""
    colour = alt.Color("series:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=TOP)
    base = alt.Chart(points).encode(
        x=alt.X("step:Q", title=step, axis=alt.Axis(grid=False, tickMinStep=1, format="~s")),
        y=alt.Y("value:Q", title=value, scale=alt.Scale(zero=False)),
        color=colour,
        tooltip=["series:N", alt.Tooltip("step:Q", title=step), alt.Tooltip("value:Q", format=".5g", title=value)],
    )
    few = len(points) <= 60 * max(1, len(order))
    drawn: Drawing = base.mark_line(point=alt.OverlayMarkDef(size=22) if few else False, strokeWidth=2).properties(height=height)
    return drawn


def timeline(spans: pd.DataFrame, *, colours: dict[str, str], seconds: str, height_per_row: int = 24) -> Drawing:
    """Stages as bars over the seconds of a run: columns stage, start, end, state, label."""
    rows = list(dict.fromkeys(spans["stage"]))
    bars = (
        alt.Chart(spans)
        .mark_bar(cornerRadius=3, height=12)
        .encode(
            x=alt.X("start:Q", title=seconds, axis=alt.Axis(grid=True, format="~s")),
            x2="end:Q",
            y=alt.Y("stage:N", sort=rows, title=None, axis=alt.Axis(labelLimit=190, grid=False)),
            color=alt.Color("state:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=TOP),
            tooltip=[alt.Tooltip("label:N", title=" ")],
        )
    )
    drawn: Drawing = bars.properties(height=max(80, height_per_row * len(rows)))
    return drawn
