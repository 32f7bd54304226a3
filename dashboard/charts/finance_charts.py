"""Charts of forecasts: returns with VaR, the backtest, and losses by period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.theme import MUTED, STATES, Drawing, sized, x_axis_of_names

ACCOUNTS = ("#3B6FE0", "#D9782D", "#1A9A68", "#8E5BD0")
"""Colours of the accounts, the same for equity and drawdown."""
BAND = {"stack": "limits", "stackStrategy": "all"}
"""Stacked lines: each is drawn as the difference to the previous one, so that the band between them can be shaded."""


def forecast(days: pd.DataFrame, limits: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    """Returns, VaR levels from the lowest up with a shaded band, and breaches; below, volatility (ECharts option)."""
    line = {"type": "line", "showSymbol": False}
    lowest, *higher = limits
    steps = [lowest, *(f"{name} above" for name in higher)]
    days = days.assign(**{f"{name} above": days[name] - days[low] for low, name in zip(limits, higher, strict=False)})
    bounds = [
        {
            **line,
            **BAND,
            "name": limits[name],
            "encode": {"x": "day", "y": step, "tooltip": name},
            "lineStyle": {"width": 1.5},
            **({"areaStyle": {"opacity": 0.2}} if name in higher else {}),
        }
        for name, step in zip(limits, steps, strict=True)
    ]
    grids = [{"left": 56, "right": 20, "top": 40, "height": 220}, {"left": 56, "right": 20, "top": 310, "height": 120}]
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"type": "scroll", "top": 0, "data": [names["came"], *limits.values(), *list(names.values())[1:]]},
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
                "itemStyle": {"color": MUTED},
            },
            *bounds,
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
                "lineStyle": {"width": 1, "color": MUTED},
                "itemStyle": {"color": MUTED},
            },
            {**line, "name": names["volatility"], "xAxisIndex": 1, "yAxisIndex": 1, "encode": {"x": "day", "y": "volatility"}},
        ],
    }


def var_forecasts(days: pd.DataFrame, returns_name: str) -> dict[str, Any]:
    """Actual returns as dots, and a line of VaR forecasts for each further column (ECharts option)."""
    names = [name for name in days.columns if name not in ("day", "came")]
    dots = {
        "type": "scatter",
        "name": returns_name,
        "symbolSize": 5,
        "encode": {"x": "day", "y": "came"},
        "itemStyle": {"color": MUTED},
    }
    lines = [
        {"type": "line", "showSymbol": False, "name": name, "encode": {"x": "day", "y": name}, "lineStyle": {"width": 1.8}}
        for name in names
    ]
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"type": "scroll", "top": 0, "data": [returns_name, *names]},
        "tooltip": {"trigger": "axis"},
        "grid": [{"left": 48, "right": 16, "top": 40, "bottom": 60}],
        "xAxis": [{"type": "category"}],
        "yAxis": [{"scale": True, "name": "%"}],
        "dataZoom": [{"type": "inside"}, {"type": "slider", "bottom": 4, "height": 22}],
        "series": [dots, *lines],
    }


def equity_and_drawdown(
    days: pd.DataFrame, equity: Sequence[str], drawdowns: Sequence[str], *, titles: tuple[str, str]
) -> dict[str, Any]:
    """Equity above, drawdown in percent below in the same colours, with a shared zoom (ECharts option)."""
    grids = [{"left": 56, "right": 20, "top": 40, "height": 210}, {"left": 56, "right": 20, "top": 300, "height": 100}]
    line = {"type": "line", "showSymbol": False, "lineStyle": {"width": 1.8}}
    below = {"xAxisIndex": 1, "yAxisIndex": 1, "areaStyle": {"opacity": 0.18}}
    return {
        "animation": False,
        "dataset": {"source": days},
        "legend": {"type": "scroll", "top": 0, "data": list(equity)},
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
            *[{**one, "encode": {"x": "day", "y": one["name"]}} for one in _coloured(equity, line)],
            *[{**one, **below, "encode": {"x": "day", "y": one["name"]}} for one in _coloured(drawdowns, line)],
        ],
    }


def _coloured(names: Sequence[str], line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each name, coloured by position."""
    return [{**line, "name": name, "itemStyle": {"color": colour}} for name, colour in zip(names, ACCOUNTS, strict=False)]


def bars(rows: pd.DataFrame, *, x: str, y: str, title: str, height: int = 240) -> Drawing:
    """One vertical bar per name."""
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(f"{x}:N", title=None, sort=None, axis=x_axis_of_names([str(name) for name in rows[x]])),
            y=alt.Y(f"{y}:Q", title=title),
            tooltip=[
                f"{x}:N",
                alt.Tooltip(f"{y}:Q", format=".4f"),
                *([alt.Tooltip("days:Q", format=",")] if "days" in rows else []),
            ],
        )
    )
    return sized(encoded, height)
