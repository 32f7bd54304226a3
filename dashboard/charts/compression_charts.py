"""Charts that compare recipes: quality against cost, change per class, latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard.analysis.pareto_front import Region
from dashboard.charts import theme
from dashboard.charts.theme import MUTED, TEXT_ON_PALE, Drawing, legend, sized

LOST, WON = "#C23030", "#2B5FD9"
PALE = 0.8
"""Up to this strength of a cell's colour, its number has the page's text colour."""
P95_COLOUR = {"light": "#C2560C", "dark": "#FFB454"}
"""Colour of the 95th percentile."""


def pareto(
    points: pd.DataFrame,
    stairs: pd.DataFrame,
    region: Region | None,
    *,
    titles: tuple[str, str],
    colours: Mapping[str, str],
    higher: bool,
    height: int = 400,
) -> Drawing:
    """Metric against cost with confidence intervals; dashed: Pareto front; shaded: the region in which the contract is met."""
    right = 1.2 * max([float(points["cost"].max()), region.cost if region else 0.0])
    x = alt.X("cost:Q", title=titles[0], scale=alt.Scale(domain=[0, right], nice=False))
    y = alt.Y("value:Q", title=titles[1], scale=alt.Scale(zero=False, padding=20))
    picked = alt.selection_point(name="point", fields=["recipe"], on="click", toggle=False)
    base = alt.Chart(points)
    layers: list[Any] = []
    if region:
        far = max(float(points["high"].max()), region.value) if higher else min(float(points["low"].min()), region.value)
        box = pd.DataFrame({"cost": [0.0], "x2": [region.cost], "value": [region.value], "y2": [far]})
        layers.append(alt.Chart(box).mark_rect(color="#0B8457", opacity=0.12).encode(x=x, x2="x2:Q", y=y, y2="y2:Q"))
    line = alt.Chart(stairs).mark_line(interpolate="step-after", strokeDash=[5, 4], color=MUTED, strokeWidth=1.5)
    present = {name: colour for name, colour in colours.items() if name in set(points["status"])}
    scale = alt.Scale(domain=list(present), range=list(present.values()))
    colour = alt.Color("status:N", scale=scale, legend=legend(across=2))
    span = base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", title=titles[1]), y2="high:Q", color=colour)
    reach = base.transform_filter("isValid(datum.cost_low)").mark_rule(strokeWidth=1.5)
    reach = reach.encode(x=alt.X("cost_low:Q", title=titles[0]), x2="cost_high:Q", y=y, color=colour)
    values = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high")]
    tips = ["recipe:N", alt.Tooltip("cost:Q", title=titles[0], format=",.4~g"), *values]
    size = alt.condition(picked, alt.value(240), alt.value(120), empty=False)
    dots = base.mark_point(filled=True, opacity=1).encode(x=x, y=y, color=colour, size=size, tooltip=tips).add_params(picked)
    names = base.mark_text(align="left", dx=9, dy=-9, fontSize=12, color=MUTED).encode(
        x=x, y=y, text="label:N" if "label" in points else "recipe:N"
    )
    return sized(alt.layer(*layers, line.encode(x=x, y=y), span, reach, dots, names), height)


def class_changes(changes: pd.DataFrame, *, kind: str, scheme: str) -> Drawing:
    """Change of each class by each recipe as a matrix: red lost, blue gained, outlined where the interval excludes zero."""
    most = max(0.01, float(changes["drop"].abs().max()))
    recipes, names = list(dict.fromkeys(changes["recipe"])), sorted(set(changes["class"]))
    cells = changes.assign(strength=changes["drop"].abs() / most, sure=significant_changes(changes))
    base = alt.Chart(cells).encode(
        x=alt.X("recipe:N", sort=recipes, title=None, axis=theme.x_axis_of_names(recipes)),
        y=alt.Y("class:N", sort=names, title=kind, axis=theme.y_axis_of_names(grid=False)),
    )
    tips = [
        "recipe:N",
        "class:N",
        alt.Tooltip("rows:Q", format=","),
        *[alt.Tooltip(f"{n}:Q", format="+.4f") for n in ("drop", "low", "high")],
    ]
    boxes = base.mark_rect(cornerRadius=3, stroke=TEXT_ON_PALE[scheme]).encode(
        color=alt.condition("datum.drop > 0", alt.value(LOST), alt.value(WON)),
        fillOpacity=alt.FillOpacity("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 1]), legend=None),
        strokeWidth=alt.condition("datum.sure", alt.value(2), alt.value(0)),
        tooltip=tips,
    )
    labelled = base.transform_filter("abs(datum.drop) >= 0.0005").encode(text=alt.Text("drop:Q", format="+.1%"))
    pale = labelled.transform_filter(f"datum.strength <= {PALE}").mark_text(fontSize=11, color=TEXT_ON_PALE[scheme])
    strong = labelled.transform_filter(f"datum.strength > {PALE}").mark_text(fontSize=11, fontWeight=600, color="#FFFFFF")
    return theme.stepped(alt.layer(boxes, pale, strong), 26)


def significant_changes(changes: pd.DataFrame) -> pd.Series:
    """Where the confidence interval of the change excludes zero."""
    return (changes["low"] > 0) | (changes["high"] < 0)


def latency(rows: pd.DataFrame, *, median: str, p95: str, scheme: str) -> Drawing:
    """Medians with their intervals and the 95th percentile, in milliseconds: columns recipe, median, low, high, p95."""
    base = alt.Chart(rows).encode(y=alt.Y("recipe:N", sort=None, title=None, axis=theme.y_axis_of_names()))
    tips = ["recipe:N", *[alt.Tooltip(f"{name}:Q", format=".4f") for name in ("median", "low", "high", "p95")]]
    bars = base.mark_bar(height=14, cornerRadiusEnd=3, opacity=0.6).encode(x=alt.X("median:Q", title=median), tooltip=tips)
    spans = base.mark_rule(strokeWidth=3, color=TEXT_ON_PALE[scheme]).encode(x="low:Q", x2="high:Q", tooltip=tips)
    late = base.mark_tick(thickness=3, size=20, color=P95_COLOUR[scheme]).encode(
        x="p95:Q", tooltip=[alt.Tooltip("p95:Q", title=p95, format=".4f")]
    )
    return theme.stepped(alt.layer(bars, spans, late), 30)
