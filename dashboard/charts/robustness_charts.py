"""Charts of robustness: a model and the dense one under each corruption or attack."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.theme import MUTED, Drawing, series


def conditions(rows: pd.DataFrame, *, value: str, order: Sequence[str]) -> Drawing:
    """One row per condition, a dot per model, the interval where it is known: columns condition, model, value, low, high."""
    names = list(dict.fromkeys(rows["condition"]))
    base = alt.Chart(rows).encode(y=alt.Y("condition:N", sort=names, title=None, axis=theme.y_axis_of_names(200, grid=True)))
    gaps = base.mark_rule(color=MUTED).encode(x=alt.X("min(value):Q", title=value), x2="max(value):Q")
    bounded = base.transform_filter("isValid(datum.low)")
    spans = bounded.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=value), x2="high:Q", color=series(order, "model"))
    tips = ["condition:N", "model:N", *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]]
    scale = alt.Scale(zero=False, padding=12)
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", title=value, scale=scale), color=series(order, "model"), tooltip=tips
    )
    return theme.stepped(alt.layer(gaps, spans, dots), 30)
