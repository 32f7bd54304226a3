"""Charts that compare runs: metric against parameter, parallel coordinates, F1 per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.theme import MUTED, Drawing, series, sized


def scatter(points: pd.DataFrame, *, x: str, y: str, order: Sequence[str], height: int = 340) -> Drawing:
    """A metric against a parameter, one point per run: columns run, x, y."""
    numeric = pd.api.types.is_numeric_dtype(points["x"])
    across = (
        alt.X("x:Q", title=x, scale=alt.Scale(zero=False, padding=20), axis=_number_axis(points["x"]))
        if numeric
        else alt.X("x:N", title=x, axis=theme.x_axis_of_names(list(points["x"].unique())))
    )
    encoded = (
        alt.Chart(points)
        .mark_point(filled=True, size=120, opacity=1)
        .encode(
            x=across,
            y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False, padding=20)),
            color=series(order, "run"),
            tooltip=["run:N", alt.Tooltip("x", title=x), alt.Tooltip("y:Q", title=y, format=".5g")],
        )
    )
    return sized(encoded, height)


def _number_axis(values: pd.Series) -> alt.Axis:
    """The axis of a parameter's values: few ticks, and none between whole numbers."""
    whole = bool((values.dropna() % 1 == 0).all())
    return alt.Axis(tickCount=8, tickMinStep=1, format="~s") if whole else alt.Axis(tickCount=8)


def by_class(rows: pd.DataFrame, *, f1: str, order: Sequence[str], kind: str) -> Drawing:
    """A dot per run and class: columns series, class, f1, support."""
    names = sorted(rows["class"].unique())
    base = alt.Chart(rows).encode(y=alt.Y("class:N", sort=names, title=kind, axis=theme.y_axis_of_names()))
    spans = base.mark_rule(color=MUTED).encode(x=alt.X("min(f1):Q", title=f1), x2="max(f1):Q")
    tips = ["series:N", "class:N", alt.Tooltip("f1:Q", title=f1, format=".4f"), "support:Q"]
    scale = alt.Scale(zero=False, padding=12)
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("f1:Q", title=f1, scale=scale), color=series(order), tooltip=tips
    )
    return theme.stepped(alt.layer(spans, dots), 30)


def parallel(rows: pd.DataFrame, names: Sequence[str], label: str) -> dict[str, Any]:
    """Parallel coordinates: a line per run over every parameter that differs, as an ECharts option."""
    axes = []
    for place, name in enumerate(names):
        numeric = pd.api.types.is_numeric_dtype(rows[name])
        axis: dict[str, Any] = {"dim": place, "name": name[-28:], "type": "value" if numeric else "category", "scale": True}
        if not numeric:
            axis["data"] = sorted(rows[name].map(str).unique())
        axes.append(axis)
    lines = [
        {
            "name": str(row[label]),
            "value": [row[name] if axis["type"] == "value" else str(row[name]) for name, axis in zip(names, axes, strict=True)],
        }
        for row in rows.to_dict("records")
    ]
    return {
        "parallelAxis": axes,
        "parallel": {"left": 60, "right": 60, "top": 50, "bottom": 30, "parallelAxisDefault": {"nameGap": 14}},
        "tooltip": {},
        "series": [{"type": "parallel", "lineStyle": {"width": 3, "opacity": 0.8}, "data": lines}],
    }
