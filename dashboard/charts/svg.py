"""Small charts as SVG text, for pages that open without a server and without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, ROW, LABEL, RIGHT = 640, 26, 190, 70
HEIGHT, LEFT, BOTTOM = 240, 56, 34
COLOURS = ("#1D4ED8", "#C2560C", "#0F766E", "#9333EA", "#C8282D", "#646B67")
MAX_POINTS = 400
"""Points of a line; more are thinned evenly."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A named value with its interval, and whether it is emphasized."""

    name: str
    value: float
    low: float
    high: float
    strong: bool = False


def intervals(rows: Sequence[Estimate], title: str) -> str:
    """One line per estimate: its interval as a rule and its value as a dot, on a common axis."""
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    margin = (high - low or abs(high) or 1.0) * 0.05
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return LABEL + (value - low) / (high - low) * (WIDTH - LABEL - RIGHT)

    parts = []
    for at, row in enumerate(rows):
        y = ROW * at + ROW / 2
        colour = COLOURS[0] if row.strong else COLOURS[5]
        parts += [
            _text(LABEL - 8, y + 4, row.name, anchor="end", bold=row.strong),
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x(row.value):.1f}" cy="{y}" r="4.5" fill="{colour}"/>',
            _text(WIDTH - RIGHT + 8, y + 4, f"{row.value:.4f}"),
        ]
    return _svg(parts, ROW * len(rows) + 6, title)


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """A line per named curve of (x, y) points, with the ends of both axes labelled and the names in a legend."""
    kept = {name: _thinned(points) for name, points in curves.items() if points}
    if not kept:
        return ""
    xs, ys = ([point[axis] for points in kept.values() for point in points] for axis in (0, 1))
    x_span, y_span = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0

    def place(point: tuple[float, float]) -> str:
        x = LEFT + (point[0] - min(xs)) / x_span * (WIDTH - LEFT - 12)
        y = 20 + (1 - (point[1] - min(ys)) / y_span) * (HEIGHT - 20 - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<rect x="{LEFT}" y="20" width="{WIDTH - LEFT - 12}" height="{HEIGHT - 20 - BOTTOM}" fill="none" stroke="#DADBD5"/>',
        _text(LEFT - 6, 28, f"{max(ys):.3g}", anchor="end"),
        _text(LEFT - 6, HEIGHT - BOTTOM, f"{min(ys):.3g}", anchor="end"),
        _text(LEFT, HEIGHT - BOTTOM + 16, f"{min(xs):g}"),
        _text(WIDTH - 12, HEIGHT - BOTTOM + 16, f"{max(xs):g}", anchor="end"),
    ]
    for at, (name, points) in enumerate(kept.items()):
        colour = COLOURS[at % len(COLOURS)]
        way = " ".join(map(place, points))
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(LEFT + at * 150, 13, name, colour=colour, bold=True))
    return _svg(parts, HEIGHT, title)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    step = -(-len(points) // MAX_POINTS)
    return points if step <= 1 else [*points[::step], points[-1]]


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "currentColor", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}'
    return f"<text {place}>{html.escape(words)}</text>"


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    label = html.escape(title, quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{label}" font-size="12">{"".join(parts)}</svg>'
