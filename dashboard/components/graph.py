"""The live graph of a run's stages, updated in place, for mouse and keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.analysis.graph_layout import Layout
from dashboard.readers.runs.run_records import StageState

_HERE = Path(__file__).parent
_GRAPH = st.components.v2.component(
    "bonsai_graph",
    html="<div id='graph'></div>\n<!-- filled by graph.js -->\n",
    css=(_HERE / "graph.css").read_text(encoding="utf-8"),
    js=(_HERE / "graph.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """The current look of one stage."""

    title: str
    sub: str
    state: StageState
    label: str
    """Accessible label for screen readers."""
    share: float | None = None
    """Progress, 0..1, while it runs."""


def accessible_label(title: str, sub: str, state: str) -> str:
    """Accessible label of a stage: its title and subtitle, then its state unless they include it."""
    return f"{title} {sub}" if state in sub else f"{title} {sub}, {state}"


def graph(layout: Layout, nodes: Mapping[str, Node], *, key: str, alt: str, selected: str = "") -> str:
    """Show the stages; returns the name of the stage that was just selected, or ""."""
    targets = [edge.target for edge in layout.edges if not edge.aside]
    data = {
        "nodes": [
            {
                "id": name,
                "x": column,
                "y": row,
                "title": nodes[name].title,
                "sub": nodes[name].sub,
                "state": nodes[name].state,
                "label": nodes[name].label,
                "share": nodes[name].share,
            }
            for name, (column, row) in layout.places.items()
        ],
        "edges": [[edge.source, edge.target, edge.aside] for edge in layout.edges],
        "chains": [list(chain) for chain in layout.chains],
        "fanin": [name for name in layout.places if targets.count(name) > 1],
        "signature": repr((layout.places, layout.edges)),
        "selected": selected,
        "alt": alt,
    }
    result = _GRAPH(key=key, data=data, on_picked_change=lambda: None, width="stretch", height="content")
    return str(result.picked or "")
