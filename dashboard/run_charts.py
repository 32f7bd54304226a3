"""The charts of a run at work: its training curves, and when each stage worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from dashboard.strokes import TOP, Drawing, series, sized

MANY_POINTS = 60


def curves(points: pd.DataFrame, *, step: str, value: str, order: Sequence[str], height: int = 240) -> Drawing:
    """Lines of (step, value, series); with `order` the colours stay with their series."""
    few = len(points) <= MANY_POINTS * max(1, len(order))
    lines = alt.Chart(points).mark_line(point=alt.OverlayMarkDef(size=22) if few else False, strokeWidth=2)
    encoded = lines.encode(
        x=alt.X("step:Q", title=step, axis=alt.Axis(grid=False, tickMinStep=1, format="~s")),
        y=alt.Y("value:Q", title=value, scale=alt.Scale(zero=False)),
        color=series(order, across=2),
        tooltip=["series:N", alt.Tooltip("step:Q", title=step), alt.Tooltip("value:Q", format=".5g", title=value)],
    )
    return sized(encoded, height)


def timeline(spans: pd.DataFrame, *, colours: Mapping[str, str], seconds: str, height_per_row: int = 24) -> Drawing:
    """Stages as bars over the seconds of a run: columns stage, start, end, state, label."""
    rows = list(dict.fromkeys(spans["stage"]))
    bars = alt.Chart(spans).mark_bar(cornerRadius=3, height=12)
    encoded = bars.encode(
        x=alt.X("start:Q", title=seconds, axis=alt.Axis(grid=True, format="~s")),
        x2="end:Q",
        y=alt.Y("stage:N", sort=rows, title=None, axis=alt.Axis(labelLimit=190, grid=False)),
        color=alt.Color("state:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=TOP),
        tooltip=[alt.Tooltip("label:N", title=" ")],
    )
    return sized(encoded, max(80, height_per_row * len(rows)))
