"""The charts of prices: forecast and limits against what came, the account, and periods beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.strokes import QUIET, STATES, Drawing, beside, sized


def forecast(days: pd.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    """Returns with their limit and its breaches above, volatility said and come below; one zoom for both (ECharts)."""
    line = {"type": "line", "showSymbol": False}
    grids = [{"left": 56, "right": 20, "top": 40, "height": 220}, {"left": 56, "right": 20, "top": 310, "height": 120}]
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"top": 0, "data": list(names.values())},
        "tooltip": {"trigger": "axis", "axisPointer": {"link": [{"xAxisIndex": "all"}]}},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "grid": grids,
        "xAxis": [{"type": "category", "gridIndex": 0, "axisLabel": {"show": False}}, {"type": "category", "gridIndex": 1}],
        "yAxis": [{"gridIndex": 0, "scale": True, "name": "%"}, {"gridIndex": 1, "scale": True, "name": "%"}],
        "dataZoom": [
            {"type": "inside", "xAxisIndex": [0, 1]},
            {"type": "slider", "xAxisIndex": [0, 1], "bottom": 4, "height": 22},
        ],
        "series": [
            {
                "type": "scatter",
                "name": names["came"],
                "symbolSize": 3,
                "encode": {"x": "day", "y": "came"},
                "itemStyle": {"color": QUIET},
            },
            {**line, "name": names["limit"], "encode": {"x": "day", "y": "limit"}, "lineStyle": {"width": 1.5}},
            {
                "type": "scatter",
                "name": names["breach"],
                "symbolSize": 7,
                "encode": {"x": "day", "y": "breach"},
                "itemStyle": {"color": STATES["failed"]},
            },
            {
                **line,
                "name": names["realised"],
                "xAxisIndex": 1,
                "yAxisIndex": 1,
                "encode": {"x": "day", "y": "realised"},
                "lineStyle": {"width": 1, "color": QUIET},
                "itemStyle": {"color": QUIET},
            },
            {**line, "name": names["volatility"], "xAxisIndex": 1, "yAxisIndex": 1, "encode": {"x": "day", "y": "volatility"}},
        ],
    }


def limits(days: pd.DataFrame, came: str) -> dict[str, Any]:
    """Returns that came as dots, and a line of forecast limits for each further column (ECharts)."""
    names = [name for name in days.columns if name not in ("day", "came")]
    dots = {"type": "scatter", "name": came, "symbolSize": 5, "encode": {"x": "day", "y": "came"}, "itemStyle": {"color": QUIET}}
    lines = [
        {"type": "line", "showSymbol": False, "name": name, "encode": {"x": "day", "y": name}, "lineStyle": {"width": 1.8}}
        for name in names
    ]
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"top": 0, "data": [came, *names]},
        "tooltip": {"trigger": "axis"},
        "grid": [{"left": 48, "right": 16, "top": 40, "bottom": 60}],
        "xAxis": [{"type": "category"}],
        "yAxis": [{"scale": True, "name": "%"}],
        "dataZoom": [{"type": "inside"}, {"type": "slider", "bottom": 4, "height": 22}],
        "series": [dots, *lines],
    }


def account(days: pd.DataFrame, money: Sequence[str], falls: Sequence[str], *, titles: tuple[str, str]) -> dict[str, Any]:
    """Money above, drawdown below, one zoom for both (ECharts)."""
    grids = [{"left": 56, "right": 20, "top": 40, "height": 210}, {"left": 56, "right": 20, "top": 300, "height": 100}]
    line = {"type": "line", "showSymbol": False, "lineStyle": {"width": 1.8}}
    below = {"xAxisIndex": 1, "yAxisIndex": 1, "areaStyle": {"opacity": 0.18}}
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"top": 0, "data": list(money)},
        "tooltip": {"trigger": "axis"},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "grid": grids,
        "xAxis": [{"type": "category", "gridIndex": 0, "axisLabel": {"show": False}}, {"type": "category", "gridIndex": 1}],
        "yAxis": [{"gridIndex": 0, "scale": True, "name": titles[0]}, {"gridIndex": 1, "name": titles[1], "max": 0}],
        "dataZoom": [
            {"type": "inside", "xAxisIndex": [0, 1]},
            {"type": "slider", "xAxisIndex": [0, 1], "bottom": 4, "height": 22},
        ],
        "series": [
            *[{**line, "name": name, "encode": {"x": "day", "y": name}} for name in money],
            *[{**line, **below, "name": name, "encode": {"x": "day", "y": name}} for name in falls],
        ],
    }


def columns(rows: pd.DataFrame, *, x: str, y: str, title: str, height: int = 240) -> Drawing:
    """A bar per name."""
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(f"{x}:N", title=None, sort=None, axis=beside([str(name) for name in rows[x]])),
            y=alt.Y(f"{y}:Q", title=title),
            tooltip=[
                f"{x}:N",
                alt.Tooltip(f"{y}:Q", format=".4f"),
                *([alt.Tooltip("days:Q", format=",")] if "days" in rows else []),
            ],
        )
    )
    return sized(encoded, height)


def diagonal(rows: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], height: int = 300) -> Drawing:
    """What came against what was said, with the line where both are equal."""
    ends = [float(rows[[x, y]].to_numpy().min()), float(rows[[x, y]].to_numpy().max())]
    scale = alt.Scale(type="log", nice=False) if ends[0] > 0 else alt.Scale()
    line = alt.Chart(pd.DataFrame({x: ends, y: ends})).mark_line(strokeDash=[4, 4], color=QUIET)
    across, up = alt.X(f"{x}:Q", title=titles[0], scale=scale), alt.Y(f"{y}:Q", title=titles[1], scale=scale)
    tips = [alt.Tooltip(f"{x}:Q", format=".4~g"), alt.Tooltip(f"{y}:Q", format=".4~g")]
    points = alt.Chart(rows).mark_line(point=alt.OverlayMarkDef(size=70, filled=True)).encode(x=across, y=up, tooltip=tips)
    return sized(alt.layer(line.encode(x=across, y=up), points), height)
