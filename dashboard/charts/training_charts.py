"""Charts of a run: training curves, and the timeline of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.machine_charts import NAME_PIXELS
from dashboard.charts.theme import Drawing, legend, series, sized

MANY_POINTS = 60
LEGEND_CHARACTERS = 24
"""The most characters of two legend columns above the narrowest chart."""


def curves(points: pd.DataFrame, *, step: str, value: str, order: Sequence[str], height: int = 240) -> Drawing:
    """A line per series: columns step, value, series; `order` fixes the colours."""
    return _curves(points, step, value, order, height, few=are_few(points, order))


@lru_cache(maxsize=128)
def live_curves(*, step: str, value: str, order: tuple[str, ...], height: int, few: bool) -> dict[str, Any]:
    """The same as a Vega-Lite specification without data, cached: do not modify it.

    Altair takes 20 ms to build and validate a chart, too long for one that is refreshed every second.
    """
    blank = pd.DataFrame({"step": [0], "value": [0.0], "series": [""]})
    spec: dict[str, Any] = _curves(blank, step, value, order, height, few=few).to_dict()
    return {name: part for name, part in spec.items() if name not in ("data", "datasets")}


def are_few(points: pd.DataFrame, order: Sequence[str]) -> bool:
    """Whether the points are few enough to be marked."""
    return len(points) <= MANY_POINTS * max(1, len(order))


def _curves(points: pd.DataFrame, step: str, value: str, order: Sequence[str], height: int, *, few: bool) -> Drawing:
    lines = alt.Chart(points).mark_line(point=alt.OverlayMarkDef(size=22) if few else False, strokeWidth=2)
    encoded = lines.encode(
        x=alt.X("step:Q", title=step, axis=alt.Axis(grid=False, tickMinStep=1, format="~s")),
        y=alt.Y("value:Q", title=value, scale=alt.Scale(zero=False)),
        color=series(order, across=theme.legend_columns(order, LEGEND_CHARACTERS)),
        tooltip=["series:N", alt.Tooltip("step:Q", title=step), alt.Tooltip("value:Q", format=".5g", title=value)],
    )
    return sized(encoded, height)


def timeline(spans: pd.DataFrame, *, colours: Mapping[str, str], seconds: str, end: float, step: int = 24) -> Drawing:
    """Gantt chart of the stages over the seconds of a run, up to `end`: columns stage, start, end, state, label."""
    rows = list(dict.fromkeys(spans["stage"]))
    bars = alt.Chart(spans).mark_bar(cornerRadius=3, height=12)
    encoded = bars.encode(
        x=alt.X("start:Q", title=seconds, scale=alt.Scale(domain=[0, end], nice=False), axis=alt.Axis(grid=True, format="~s")),
        x2="end:Q",
        y=alt.Y("stage:N", sort=rows, title=None, axis=_names_axis()),
        color=alt.Color("state:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=legend()),
        tooltip=[alt.Tooltip("label:N", title=" ")],
    )
    return theme.stepped(encoded, step)


def _names_axis() -> alt.Axis:
    """As wide as the axes of the charts of the machine, so that the same second is at the same place in both."""
    return theme.y_axis_of_names(NAME_PIXELS - 8, grid=False, minExtent=NAME_PIXELS, maxExtent=NAME_PIXELS)
