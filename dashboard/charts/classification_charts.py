"""Charts of predictions: confusion matrix, threshold curves, reliability diagram, metrics beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import theme
from dashboard.charts.theme import MUTED, TEXT_ON_PALE, Drawing, series, sized

MAX_NUMBERED_CLASSES = 20
"""The most classes for which the cells of a confusion matrix show their counts."""
LINE = 18
"""Height of a legend row in pixels."""
CELL, SMALL_CELL, SMALLEST_MATRIX = 34, 14, 200
"""Side of a cell with and without its count, and of the smallest matrix, in pixels."""


def confusion(cells: pd.DataFrame, classes: Sequence[str], *, truth: str, answer: str, scheme: str = "light") -> Drawing:
    """Confusion matrix, each cell coloured by its share of the true class; the selection `cell` holds the selected cell."""
    picked = alt.selection_point(name="cell", fields=["truth", "answer"], on="click", toggle=False)
    x = alt.X("answer:N", sort=list(classes), title=answer, axis=theme.x_axis_of_names(classes))
    y = alt.Y("truth:N", sort=list(classes), title=truth, axis=theme.y_axis_of_names(110, grid=False))
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
    step = SMALL_CELL
    if len(classes) <= MAX_NUMBERED_CLASSES:
        step = max(CELL, SMALLEST_MATRIX // max(1, len(classes)))
        count = alt.Text("rows:Q", format=",")
        few = base.transform_filter("datum.rows > 0 && datum.share <= 0.7").mark_text(fontSize=11, color=TEXT_ON_PALE[scheme])
        many = base.transform_filter("datum.share > 0.7").mark_text(fontSize=11, fontWeight=600, color="#FFFFFF")
        layers += [few.encode(text=count), many.encode(text=count)]
    return theme.stepped(alt.layer(*layers), step)


def threshold(
    curve: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], order: Sequence[str], chance: bool, height: int = 320
) -> Drawing:
    """A threshold curve per series on the unit square; with `chance`, the diagonal of a random classifier."""
    lines, named = alt.Chart(curve).mark_line(strokeWidth=2, interpolate="linear"), list(curve["series"].unique())
    across = theme.legend_columns(named, theme.LEGEND_CHARACTERS)
    encoded: Any = lines.encode(
        x=alt.X(f"{x}:Q", title=titles[0], scale=alt.Scale(domain=[0, 1])),
        y=alt.Y(f"{y}:Q", title=titles[1], scale=alt.Scale(domain=[0, 1])),
        color=series(order, across=across, named=named),
        order=alt.Order("row:Q"),
        tooltip=["series:N", alt.Tooltip(f"{x}:Q", format=".3f"), alt.Tooltip(f"{y}:Q", format=".3f")],
    ).transform_window(row="row_number()")
    if chance:
        diagonal = pd.DataFrame({x: [0.0, 1.0], y: [0.0, 1.0]})
        encoded = alt.layer(alt.Chart(diagonal).mark_line(strokeDash=[4, 4], color=MUTED).encode(x=f"{x}:Q", y=f"{y}:Q"), encoded)
    return sized(encoded, height + LINE * (len(named) // across))


def lines(
    points: pd.DataFrame, *, x: str, y: str, titles: tuple[str, str], order: Sequence[str], log: bool = False, height: int = 320
) -> Drawing:
    """A line per series over a numeric x-axis."""
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
    """Reliability diagram: accuracy against confidence per bin; point size is the number of rows."""
    diagonal = alt.Chart(pd.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]})).mark_line(
        strokeDash=[4, 4], color=MUTED
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


def metric_intervals(rows: pd.DataFrame, *, value: str, order: Sequence[str]) -> Drawing:
    """One row per model with its metric and confidence interval: columns name, kind, value, low, high."""
    names = list(dict.fromkeys(rows["name"]))
    y = alt.Y("name:N", sort=names, title=None, axis=theme.y_axis_of_names(180, grid=True))
    x = alt.X("value:Q", title=value, scale=alt.Scale(zero=False))
    base = alt.Chart(rows).encode(y=y, color=series(order, "kind"))
    spans = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=value, scale=alt.Scale(zero=False)), x2="high:Q")
    tips = ["name:N", *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, tooltip=tips)
    return theme.stepped(alt.layer(spans, points), 34)


def contributions(rows: pd.DataFrame, *, title: str, percent: bool = True) -> Drawing:
    """Contributions to a prediction, positive in orange, negative in blue: columns column, value, usual, worth."""
    axis, tooltip = ("+.0%", "+.2%") if percent else ("+,.4~r", "+,.4~r")
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3, height=12)
        .encode(
            x=alt.X("worth:Q", title=title, axis=alt.Axis(format=axis)),
            y=alt.Y("column:N", sort=list(rows["column"]), title=None, axis=theme.y_axis_of_names(140)),
            color=alt.condition("datum.worth > 0", alt.value(theme.POSITIVE), alt.value(theme.NEGATIVE)),
            tooltip=["column:N", "value:N", "usual:N", alt.Tooltip("worth:Q", format=tooltip)],
        )
    )
    return theme.stepped(encoded, 22)


def bars(rows: pd.DataFrame, *, share: str) -> Drawing:
    """Horizontal bars of shares: columns class, share."""
    names = list(rows["class"])
    encoded = (
        alt.Chart(rows)
        .mark_bar(cornerRadiusEnd=3, height=12)
        .encode(
            x=alt.X("share:Q", title=share, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            y=alt.Y("class:N", sort=names, title=None, axis=theme.y_axis_of_names(140)),
            tooltip=["class:N", alt.Tooltip("share:Q", format=".2%")],
        )
    )
    return theme.stepped(encoded, 22)
