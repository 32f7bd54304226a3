"""Charts of searches: the front of recipes, the trials of tuning, and the importance of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.theme import MUTED, POSITIVE, STATUS, Drawing, legend, sized

GROUP_COLOURS = {"front": STATUS["chosen"], "dominated": "#3B6FE0", "partial": MUTED}
PALE = 0.15


def front(
    points: pd.DataFrame,
    stairs: pd.DataFrame,
    allowed: tuple[float, float] | None,
    *,
    titles: tuple[str, str],
    groups: Mapping[str, str],
    height: int = 380,
) -> Drawing:
    """Drop against cost; dashed: the front; shaded: what the contract allows, as (cost, drop). `groups` names the groups."""
    shown = points.assign(label=points["group"].map(groups))
    present = [name for name in groups if name in set(points["group"])]
    colour = alt.Color(
        "label:N",
        scale=alt.Scale(domain=[groups[name] for name in present], range=[GROUP_COLOURS[name] for name in present]),
        legend=legend(across=1),
    )
    x = alt.X("cost:Q", title=titles[0], scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(format="~s"))
    y = alt.Y("drop:Q", title=titles[1], scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(format="+.3~f"))
    base = alt.Chart(shown)
    layers: list[Any] = []
    if allowed:
        ends = [float(points["cost"].min()), float(points["drop"].min())]
        box = pd.DataFrame(
            {"cost": [min(ends[0], allowed[0])], "x2": [allowed[0]], "drop": [min(ends[1], allowed[1])], "y2": [allowed[1]]}
        )
        mark = alt.Chart(box).mark_rect(color=STATUS["chosen"], opacity=PALE)
        layers.append(mark.encode(x=x, x2="x2:Q", y=y, y2="y2:Q"))
    if len(stairs):
        line = alt.Chart(stairs).mark_line(interpolate="step-after", strokeDash=[5, 4], color=MUTED, strokeWidth=1.5)
        layers.append(line.encode(x=x, y=y))
    full = base.transform_filter("datum.group !== 'partial'")
    spans = full.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("drop_low:Q", title=titles[1]), y2="drop_high:Q", color=colour)
    tips = [
        "recipe:N",
        alt.Tooltip("cost:Q", title=titles[0], format=",.4~g"),
        *[alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("drop", "drop_low", "drop_high")],
    ]
    size = alt.condition("datum.group === 'partial'", alt.value(36), alt.value(120))
    opacity = alt.condition("datum.group === 'partial'", alt.value(0.5), alt.value(1.0))
    dots = base.mark_point(filled=True).encode(x=x, y=y, color=colour, size=size, opacity=opacity, tooltip=tips)
    return sized(alt.layer(*layers, spans, dots), height)


def trials(points: pd.DataFrame, *, titles: tuple[str, str], best: str, height: int = 300) -> Drawing:
    """The metric of each completed trial, and the best one so far as a line."""
    x = alt.X("trial:Q", title=titles[0], axis=alt.Axis(tickMinStep=1, format="d"))
    scale = alt.Scale(zero=False, padding=10)
    tips = [alt.Tooltip("trial:Q", title=titles[0]), alt.Tooltip("value:Q", title=titles[1], format=".4f")]
    base = alt.Chart(points)
    dots = base.mark_point(filled=True, size=80, color=GROUP_COLOURS["dominated"], opacity=0.8)
    line = base.mark_line(interpolate="step-after", color=STATUS["chosen"], strokeWidth=2)
    best_tips = [alt.Tooltip("best:Q", title=best, format=".4f")]
    return sized(
        alt.layer(
            line.encode(x=x, y=alt.Y("best:Q", title=titles[1], scale=scale), tooltip=best_tips),
            dots.encode(x=x, y=alt.Y("value:Q", title=titles[1], scale=scale), tooltip=tips),
        ),
        height,
    )


def importances(shares: pd.DataFrame, *, title: str) -> Drawing:
    """The share of the variance that each parameter explains: columns parameter, share."""
    base = alt.Chart(shares).encode(y=alt.Y("parameter:N", sort=None, title=None, axis=theme.y_axis_of_names()))
    share = alt.X("share:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bars = base.mark_bar(height=16, cornerRadiusEnd=3, color=POSITIVE).encode(
        x=share, tooltip=["parameter:N", alt.Tooltip("share:Q", title=title, format=".1%")]
    )
    return theme.stepped(bars, 34)
