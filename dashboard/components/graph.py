"""The live graph of a run's stages: one drawing that changes as they do, operable by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.analysis.graph_layout import Layout
from dashboard.readers.run_records import StageState

_HERE = Path(__file__).parent
_GRAPH = st.components.v2.component(
    "bonsai_graph",
    html="<div id='graph'></div>\n<!-- filled by graph.js -->\n",
    css=(_HERE / "graph.css").read_text(encoding="utf-8"),
    js=(_HERE / "graph.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """What one stage looks like now."""

    title: str
    sub: str
    state: StageState
    label: str
    """The same in words, for those who do not see it."""
    share: float | None = None
    """How much of it is done, 0..1, while it runs."""


def spoken(title: str, sub: str, state: str) -> str:
    """What a stage is called aloud: the words it shows, then its state unless they tell it."""
    return f"{title} {sub}" if state in sub else f"{title} {sub}, {state}"


def graph(layout: Layout, nodes: Mapping[str, Node], *, key: str, alt: str, selected: str = "") -> str:
    """Draw the stages; gives the name of the one that was picked just now, or ""."""
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
