"""The charts that weigh recipes: what each keeps and costs, which classes it harms, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard.front import Region
from dashboard.strokes import QUIET, Drawing, legend, sized


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
    right = 1.2 * max([float(points["cost"].max()), asked.cost if asked else 0.0])
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
    scale = alt.Scale(domain=list(present), range=list(present.values()))
    colour = alt.Color("status:N", scale=scale, legend=legend(across=2))
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
