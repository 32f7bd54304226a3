"""The charts, drawn from tidy tables: plain functions from a frame to a drawing, coloured by the theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.front import Region

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
TOP = alt.Legend(title=None, orient="top", labelLimit=260, columns=4, offset=4)
STATUS = {"chosen": "#0B8457", "kept": "#5BB98B", "not shown": "#C79A1B", "broken": "#D64545", "baseline": "#7C8791"}
"""Colours of how a recipe stands to its contract, on light and on dark ground."""
QUIET = "#8A929B"
"""Lines of reference, on light and on dark ground."""
MANY_POINTS = 60
MOST_NUMBERED = 20
"""Classes up to which each cell of a matrix shows its count."""


def curves(points: pd.DataFrame, *, step: str, value: str, order: Sequence[str], height: int = 240) -> Drawing:
    """Lines of (step, value, series); with `order` the colours stay with their series."""
    few = len(points) <= MANY_POINTS * max(1, len(order))
    lines = alt.Chart(points).mark_line(point=alt.OverlayMarkDef(size=22) if few else False, strokeWidth=2)
    encoded = lines.encode(
        x=alt.X("step:Q", title=step, axis=alt.Axis(grid=False, tickMinStep=1, format="~s")),
        y=alt.Y("value:Q", title=value, scale=alt.Scale(zero=False)),
        color=series(order),
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


def histogram(bins: pd.DataFrame, *, share: str, title: str, order: Sequence[str], height: int = 260) -> Drawing:
    """Shares per bin of two tables over each other: columns table, share, rows, and bin or from/to."""
    colour = series(order, "table")
    y = alt.Y("share:Q", title=share, axis=alt.Axis(format="%"))
    counted: list[Any] = ["rows:Q", alt.Tooltip("share:Q", format=".1%")]
    if "bin" in bins:
        encoded = (
            alt.Chart(bins)
            .mark_bar()
            .encode(
                x=alt.X("bin:N", title=title, sort=None, axis=alt.Axis(labelAngle=0, labelLimit=90)),
                y=y,
                xOffset=alt.XOffset("table:N", sort=list(order)),
                color=colour,
                tooltip=["table:N", alt.Tooltip("bin:N", title=title), *counted],
            )
        )
        return sized(encoded, height)
    encoded = (
        alt.Chart(bins)
        .mark_bar(opacity=0.55)
        .encode(
            x=alt.X("from:Q", title=title, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False)),
            x2="to:Q",
            y=y.stack(None),
            color=colour,
            tooltip=["table:N", alt.Tooltip("from:Q", format=".4~g"), alt.Tooltip("to:Q", format=".4~g"), *counted],
        )
    )
    return sized(encoded, height)


def stacked(rows: pd.DataFrame, *, x: str, y: str, colour: str, order: Sequence[str], height: int = 260) -> Drawing:
    """Counts by class, stacked by split."""
    placed = alt.Chart(rows).transform_calculate(place=f"indexof({list(order)!r}, datum['{colour}'])").mark_bar()
    encoded = placed.encode(
        x=alt.X(f"{x}:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelLimit=100)),
        y=alt.Y(f"{y}:Q", title=y),
        color=series(order, colour),
        order=alt.Order("place:Q"),
        tooltip=[f"{x}:N", f"{colour}:N", alt.Tooltip(f"{y}:Q", format=",")],
    )
    return sized(encoded, height)


def confusion(cells: pd.DataFrame, classes: Sequence[str], *, truth: str, answer: str) -> Drawing:
    """A matrix of counts, each cell coloured by its share of the true class; `cell` is the one that was picked."""
    picked = alt.selection_point(name="cell", fields=["truth", "answer"], on="click", toggle=False)
    longest = max((len(name) for name in classes), default=1)
    x = alt.X(
        "answer:N",
        sort=list(classes),
        title=answer,
        axis=alt.Axis(labelAngle=0 if longest < 5 else -45, labelLimit=90, grid=False),
    )
    y = alt.Y("truth:N", sort=list(classes), title=truth, axis=alt.Axis(labelLimit=110, grid=False))
    base = alt.Chart(cells).encode(x=x, y=y)
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 1], type="sqrt"), legend=None)
    tips = [
        alt.Tooltip("truth:N", title=truth),
        alt.Tooltip("answer:N", title=answer),
        alt.Tooltip("rows:Q", format=","),
        alt.Tooltip("share:Q", format=".1%"),
    ]
    stroke = alt.condition(picked, alt.value(2), alt.value(0), empty=False)
    boxes = base.mark_rect(cornerRadius=3, color="#2B5FD9", stroke="#E08A1E")
    boxes = boxes.encode(opacity=shade, strokeWidth=stroke, tooltip=tips).add_params(picked)
    layers = [boxes]
    if len(classes) <= MOST_NUMBERED:
        count = alt.Text("rows:Q", format=",")
        few = base.transform_filter("datum.rows > 0 && datum.share <= 0.2").mark_text(fontSize=11, color="#7B838C")
        many = base.transform_filter("datum.share > 0.2").mark_text(fontSize=11, fontWeight=600, color="#FFFFFF")
        layers += [few.encode(text=count), many.encode(text=count)]
    return sized(alt.layer(*layers), max(260, min(34 * len(classes) + 60, 620)))


def threshold(
    curve: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], order: Sequence[str], chance: bool, height: int = 320
) -> Drawing:
    """A curve over thresholds per series on the unit square, with the line of chance where there is one."""
    lines = alt.Chart(curve).mark_line(strokeWidth=2, interpolate="linear")
    encoded: Any = lines.encode(
        x=alt.X(f"{x}:Q", title=titles[0], scale=alt.Scale(domain=[0, 1])),
        y=alt.Y(f"{y}:Q", title=titles[1], scale=alt.Scale(domain=[0, 1])),
        color=series(order),
        order=alt.Order("row:Q"),
        tooltip=["series:N", alt.Tooltip(f"{x}:Q", format=".3f"), alt.Tooltip(f"{y}:Q", format=".3f")],
    ).transform_window(row="row_number()")
    if chance:
        diagonal = pd.DataFrame({x: [0.0, 1.0], y: [0.0, 1.0]})
        encoded = alt.layer(alt.Chart(diagonal).mark_line(strokeDash=[4, 4], color=QUIET).encode(x=f"{x}:Q", y=f"{y}:Q"), encoded)
    return sized(encoded, height)


def lines(
    points: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], order: Sequence[str], log: bool = False, height: int = 320
) -> Drawing:
    """A line per series over a number."""
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    encoded = (
        alt.Chart(points)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(f"{x}:Q", title=titles[0], scale=scale, axis=alt.Axis(grid=False, format="~g")),
            y=alt.Y(f"{y}:Q", title=titles[1]),
            color=series(order),
            tooltip=["series:N", alt.Tooltip(f"{x}:Q", format=".4~g"), alt.Tooltip(f"{y}:Q", format=".4~g")],
        )
    )
    return sized(encoded, height)


def reliability(bins: pd.DataFrame, *, confidence: str, accuracy: str, height: int = 320) -> Drawing:
    """Share right against confidence per bin; the larger the point, the more rows."""
    diagonal = alt.Chart(pd.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]})).mark_line(
        strokeDash=[4, 4], color=QUIET
    )
    x = alt.X("confidence:Q", title=confidence, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    y = alt.Y("accuracy:Q", title=accuracy, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    base = alt.Chart(bins).encode(x=x, y=y)
    points = base.mark_circle(opacity=1).encode(
        size=alt.Size("rows:Q", scale=alt.Scale(range=[40, 500]), legend=None),
        tooltip=[
            alt.Tooltip("rows:Q", format=","),
            alt.Tooltip("confidence:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".1%"),
        ],
    )
    return sized(alt.layer(diagonal.encode(x="confidence:Q", y="accuracy:Q"), base.mark_line(strokeWidth=1.5), points), height)


def standings(rows: pd.DataFrame, *, value: str, order: Sequence[str]) -> Drawing:
    """Measures with their intervals under each other: columns name, kind, value, low, high."""
    names = list(dict.fromkeys(rows["name"]))
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=180, grid=True))
    x = alt.X("value:Q", title=value, scale=alt.Scale(zero=False))
    base = alt.Chart(rows).encode(y=y, color=series(order, "kind"))
    spans = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=value, scale=alt.Scale(zero=False)), x2="high:Q")
    tips = ["name:N", *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, tooltip=tips)
    return sized(alt.layer(spans, points), max(120, 34 * len(names) + 40))


def front(
    points: pd.DataFrame,
    stairs: pd.DataFrame,
    asked: Region | None,
    *,
    titles: tuple[str, str],
    colours: Mapping[str, str],
    higher: bool,
    height: int = 400,
) -> Drawing:
    """Value with its interval against cost; dashed: what nothing cheaper equals; shaded: where the contract is kept."""
    right = 1.12 * max([float(points["cost"].max()), asked.cost if asked else 0.0])
    x = alt.X("cost:Q", title=titles[0], scale=alt.Scale(domain=[0, right], nice=False))
    y = alt.Y("value:Q", title=titles[1], scale=alt.Scale(zero=False, padding=20))
    picked = alt.selection_point(name="point", fields=["recipe"], on="click", toggle=False)
    base = alt.Chart(points)
    layers: list[Any] = []
    if asked:
        far = max(float(points["high"].max()), asked.value) if higher else min(float(points["low"].min()), asked.value)
        box = pd.DataFrame({"cost": [0.0], "x2": [asked.cost], "value": [asked.value], "y2": [far]})
        layers.append(alt.Chart(box).mark_rect(color="#0B8457", opacity=0.12).encode(x=x, x2="x2:Q", y=y, y2="y2:Q"))
    line = alt.Chart(stairs).mark_line(interpolate="step-after", strokeDash=[5, 4], color=QUIET, strokeWidth=1.5)
    present = {name: colour for name, colour in colours.items() if name in set(points["status"])}
    colour = alt.Color("status:N", scale=alt.Scale(domain=list(present), range=list(present.values())), legend=TOP)
    span = base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=titles[1]), y2="high:Q", color=colour)
    values = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]
    tips = ["recipe:N", alt.Tooltip("cost:Q", title=titles[0], format=",.4~g"), *values]
    size = alt.condition(picked, alt.value(240), alt.value(120), empty=False)
    dots = base.mark_point(filled=True, opacity=1).encode(x=x, y=y, color=colour, size=size, tooltip=tips).add_params(picked)
    names = base.mark_text(align="left", dx=9, dy=-9, fontSize=12, color=QUIET).encode(x=x, y=y, text="recipe:N")
    return sized(alt.layer(*layers, line.encode(x=x, y=y), span, dots, names), height)


def damage(changes: pd.DataFrame, *, drop: str, recipe: str, kind: str) -> Drawing:
    """What each class lost by each recipe, as a matrix: red where it lost, blue where it won."""
    most = max(0.01, float(changes["drop"].abs().max()))
    names = list(dict.fromkeys(changes["class"]))
    base = alt.Chart(changes).encode(
        x=alt.X(
            "class:N",
            sort=sorted(names),
            title=kind,
            axis=alt.Axis(labelAngle=0 if max(map(len, names)) < 6 else -45, grid=False),
        ),
        y=alt.Y("recipe:N", sort=None, title=recipe, axis=alt.Axis(grid=False, labelLimit=160)),
    )
    colours = alt.Scale(domain=[-most, 0, most], range=["#3B6FE0", "#8A929B22", "#D64545"])
    tips = [
        "recipe:N",
        "class:N",
        alt.Tooltip("rows:Q", format=","),
        *[alt.Tooltip(f"{n}:Q", format="+.4f") for n in ("drop", "low", "high")],
    ]
    boxes = base.mark_rect(cornerRadius=3).encode(color=alt.Color("drop:Q", scale=colours, legend=None), tooltip=tips)
    numbers = (
        base.transform_filter("abs(datum.drop) >= 0.0005")
        .mark_text(fontSize=10, color=QUIET)
        .encode(text=alt.Text("drop:Q", format="+.1%"))
    )
    return sized(alt.layer(boxes, numbers), max(140, 40 * changes["recipe"].nunique() + 70))


def latency(rows: pd.DataFrame, *, median: str, p95: str) -> Drawing:
    """Medians with their intervals and the 95th percentile, in milliseconds: columns recipe, median, low, high, p95."""
    y = alt.Y("recipe:N", sort=None, title=None, axis=alt.Axis(labelLimit=160))
    base = alt.Chart(rows).encode(y=y)
    tips = ["recipe:N", *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("median", "low", "high", "p95")]]
    bars = base.mark_bar(height=14, cornerRadiusEnd=3).encode(x=alt.X("median:Q", title=median), tooltip=tips)
    late = base.mark_tick(thickness=2, size=18, color="#C2560C").encode(
        x="p95:Q", tooltip=[alt.Tooltip("p95:Q", title=p95, format=".4f")]
    )
    return sized(alt.layer(bars, late), max(110, 30 * len(rows) + 40))


def bars(rows: pd.DataFrame, *, share: str) -> Drawing:
    """Shares of names, lying: columns class, share."""
    names = list(rows["class"])
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3, height=12)
        .encode(
            x=alt.X("share:Q", title=share, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            y=alt.Y("class:N", sort=names, title=None, axis=alt.Axis(labelLimit=140)),
            tooltip=["class:N", alt.Tooltip("share:Q", format=".2%")],
        )
    )
    return sized(encoded, max(90, 20 * len(names) + 40))


def scatter(points: pd.DataFrame, *, x: str, y: str, order: Sequence[str], height: int = 340) -> Drawing:
    """A measure against a parameter, one point per run: columns run, x, y."""
    numeric = pd.api.types.is_numeric_dtype(points["x"])
    across = (
        alt.X("x:Q", title=x, scale=alt.Scale(zero=False, padding=20))
        if numeric
        else alt.X("x:N", title=x, axis=alt.Axis(labelAngle=0))
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


def by_class(rows: pd.DataFrame, *, f1: str, order: Sequence[str], kind: str) -> Drawing:
    """A dot per run and class: columns series, class, f1, support."""
    names = sorted(rows["class"].unique())
    base = alt.Chart(rows).encode(y=alt.Y("class:N", sort=names, title=kind, axis=alt.Axis(labelLimit=160)))
    spans = base.mark_rule(color=QUIET).encode(x=alt.X("min(f1):Q", title=f1), x2="max(f1):Q")
    tips = ["series:N", "class:N", alt.Tooltip("f1:Q", title=f1, format=".4f"), "support:Q"]
    scale = alt.Scale(zero=False, padding=12)
    dots = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("f1:Q", title=f1, scale=scale), color=series(order), tooltip=tips
    )
    return sized(alt.layer(spans, dots), max(160, 30 * len(names) + 50))


def parallel(rows: pd.DataFrame, names: Sequence[str], label: str) -> dict[str, Any]:
    """Parallel coordinates: a line per run through every parameter that differs, as an ECharts option."""
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


def columns(rows: pd.DataFrame, *, x: str, y: str, title: str, height: int = 240) -> Drawing:
    """A bar per name."""
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(f"{x}:N", title=None, sort=None, axis=alt.Axis(labelLimit=80)),
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


def series(order: Sequence[str], field: str = "series") -> Any:
    """A colour for each series, the same whichever of them are drawn."""
    return alt.Color(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=TOP)


def sized(drawing: Any, height: int) -> Drawing:
    """The drawing at a height; its width is its place's."""
    found: Drawing = drawing.properties(height=height)
    return found
