"""Charts of predicted numbers: predicted against actual values, and the quantiles of the error."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.charts.theme import MUTED, Drawing, sized


def calibration(rows: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], log: bool = False, height: int = 300) -> Drawing:
    """Actual against predicted values, with the diagonal of perfect calibration; `log` only applies to positive values."""
    ends = [float(rows[[x, y]].to_numpy().min()), float(rows[[x, y]].to_numpy().max())]
    scale = alt.Scale(type="log", nice=False) if log and ends[0] > 0 else alt.Scale(zero=False)
    line = alt.Chart(pd.DataFrame({x: ends, y: ends})).mark_line(strokeDash=[4, 4], color=MUTED)
    across, up = alt.X(f"{x}:Q", title=titles[0], scale=scale), alt.Y(f"{y}:Q", title=titles[1], scale=scale)
    tips = [alt.Tooltip(f"{x}:Q", format=".4~g"), alt.Tooltip(f"{y}:Q", format=".4~g")]
    tips += [alt.Tooltip("rows:Q", format=",")] if "rows" in rows else []
    points = alt.Chart(rows).mark_line(point=alt.OverlayMarkDef(size=70, filled=True)).encode(x=across, y=up, tooltip=tips)
    return sized(alt.layer(line.encode(x=across, y=up), points), height)


def error_quantiles(rows: pd.DataFrame, *, titles: tuple[str, str], height: int = 300) -> Drawing:
    """The error at each level, with a line at zero: columns level, error."""
    x = alt.X("level:Q", title=titles[0], scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", grid=False))
    y = alt.Y("error:Q", title=titles[1])
    zero = alt.Chart(pd.DataFrame({"error": [0.0]})).mark_rule(strokeDash=[4, 4], color=MUTED).encode(y=y)
    tips = [alt.Tooltip("level:Q", format=".0%"), alt.Tooltip("error:Q", format="+.4~g")]
    line = alt.Chart(rows).mark_line(point=alt.OverlayMarkDef(size=70, filled=True)).encode(x=x, y=y, tooltip=tips)
    return sized(alt.layer(zero, line), height)
