"""Shared chart style: colours for light and dark themes, axes, legends and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

Drawing = alt.Chart | alt.LayerChart | alt.HConcatChart | alt.VConcatChart | alt.FacetChart
STATES = {
    "running": "#3B6FE0",
    "retrying": "#C79A1B",
    "done": "#1A9A68",
    "failed": "#D64545",
    "crashed": "#D64545",
    "cancelled": "#D9782D",
}
"""Colours of stage states."""
STATUS = {"chosen": "#0B8457", "kept": "#5BB98B", "not shown": "#C79A1B", "broken": "#D64545", "baseline": "#7C8791"}
"""Colours of a recipe's status under the contract."""
POSITIVE, NEGATIVE = "#D9782D", "#3B6FE0"
"""Positive and negative contributions to a prediction."""
MUTED = "#8A929B"
"""Colour of reference lines."""
TEXT_ON_PALE = {"light": "#1A1F26", "dark": "#C6CDD5"}
"""Colour of text and lines on pale, translucent cells."""
MAX_LABEL_PIXELS = 260
"""Longest legend label in pixels."""
LEGEND_CHARACTERS, MAX_SLANTED_LABELS = 40, 26
"""The most characters on one line of the narrowest chart, and the most slanted labels."""


def series(order: Sequence[str], field: str = "series", across: int = 4, named: Sequence[str] | None = None) -> Any:
    """Colour encoding: each series keeps its colour whichever are drawn. The legend has `across` columns and lists `named`."""
    return alt.Color(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=legend(across, named))


def legend(across: int = 4, named: Sequence[str] | None = None) -> alt.Legend:
    """A legend on top of the chart with `across` columns; it lists only `named`, if given."""
    only: dict[str, Any] = {"values": list(named)} if named else {}
    return alt.Legend(title=None, orient="top", labelLimit=MAX_LABEL_PIXELS, columns=across, offset=4, **only)


def legend_columns(names: Sequence[str], letters: int) -> int:
    """Columns of a legend: two if the longest names of both columns have at most `letters` characters together, else one."""
    columns = [[len(name) for name in names[place::2]] for place in range(2)]
    return 2 if sum(max(column, default=0) for column in columns) <= letters else 1


def y_axis_of_names(limit: int = 160, **more: Any) -> alt.Axis:
    """Axis of names on the y-axis; no label is dropped."""
    return alt.Axis(labelLimit=limit, labelOverlap=False, **more)


def x_axis_of_names(names: Sequence[str]) -> alt.Axis:
    """Axis of names on the x-axis: slanted where they would overlap on a narrow screen, thinned where there are too many."""
    level = len(names) * max(map(len, names), default=0) <= LEGEND_CHARACTERS
    few = level or len(names) <= MAX_SLANTED_LABELS
    return alt.Axis(labelAngle=0 if level else -45, labelLimit=90, labelOverlap=not few, grid=False)


def stepped(drawing: Any, step: int) -> Drawing:
    """The chart with a height of `step` pixels per name; its width is that of its container."""
    result: Drawing = drawing.properties(height=alt.Step(step), autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    return result


def sized(drawing: Any, height: int) -> Drawing:
    """The chart with a fixed height; its width is that of its container."""
    result: Drawing = drawing.properties(height=height)
    return result
