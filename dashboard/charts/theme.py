"""What all charts share: what a chart is, colours that hold on light and on dark ground, the legend on top, the size."""

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
"""Colours of stages at work."""
STATUS = {"chosen": "#0B8457", "kept": "#5BB98B", "not shown": "#C79A1B", "broken": "#D64545", "baseline": "#7C8791"}
"""Colours of how a recipe stands to its contract."""
FOR, AGAINST = "#D9782D", "#3B6FE0"
"""What speaks for an answer, and what against it."""
QUIET = "#8A929B"
"""Lines of reference."""
ON_PALE = {"light": "#1A1F26", "dark": "#C6CDD5"}
"""Numbers and lines on colours that let the page shine through."""
LONGEST_NAME = 260
"""Pixels of a name in a legend."""
LETTERS_ABREAST, MOST_ASLANT = 40, 26
"""How many letters the narrowest chart holds on one line, and how many names aslant."""


def series(order: Sequence[str], field: str = "series", across: int = 4, named: Sequence[str] | None = None) -> Any:
    """A colour for each series, the same whichever of them are drawn; `across` of their names, or of those `named`, abreast."""
    return alt.Color(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=legend(across, named))


def legend(across: int = 4, named: Sequence[str] | None = None) -> alt.Legend:
    """The names of colours on top of a chart, `across` of them side by side; only those `named`, if some are."""
    only: dict[str, Any] = {"values": list(named)} if named else {}
    return alt.Legend(title=None, orient="top", labelLimit=LONGEST_NAME, columns=across, offset=4, **only)


def abreast(names: Sequence[str], letters: int) -> int:
    """How many names a legend puts side by side: two, if both columns together have no more letters than that."""
    columns = [[len(name) for name in names[place::2]] for place in range(2)]
    return 2 if sum(max(column, default=0) for column in columns) <= letters else 1


def rows(limit: int = 160, **more: Any) -> alt.Axis:
    """Names under each other, each of them written."""
    return alt.Axis(labelLimit=limit, labelOverlap=False, **more)


def beside(names: Sequence[str]) -> alt.Axis:
    """Names beside each other: aslant where they would meet on a narrow screen; not all of them where there are too many."""
    level = len(names) * max(map(len, names), default=0) <= LETTERS_ABREAST
    few = level or len(names) <= MOST_ASLANT
    return alt.Axis(labelAngle=0 if level else -45, labelLimit=90, labelOverlap=not few, grid=False)


def stepped(drawing: Any, step: int) -> Drawing:
    """The drawing with so many pixels for each name; the height of the whole follows, its width is its place's."""
    found: Drawing = drawing.properties(height=alt.Step(step), autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    return found


def sized(drawing: Any, height: int) -> Drawing:
    """The drawing at a height; its width is its place's."""
    found: Drawing = drawing.properties(height=height)
    return found
