"""Text with highlighted words: contributions to a prediction, or entity types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.readers.model_inputs import Segment, largest_weight
from dashboard.text import formatting

MAX_CHARACTERS = 20_000
_HERE = Path(__file__).parent
_WORDS = st.components.v2.component(
    "bonsai_words",
    html="<p id='words'></p>\n<!-- filled by highlighted_text.js -->\n",
    css=(_HERE / "highlighted_text.css").read_text(encoding="utf-8"),
    js=(_HERE / "highlighted_text.js").read_text(encoding="utf-8"),
)


def highlight_contributions(pieces: Sequence[Segment], *, key: str) -> None:
    """Positive contributions in orange, negative ones in blue; the strongest in full colour."""
    most = largest_weight(pieces)
    _draw([(piece.text, round(piece.weight / most, 3), f"{piece.weight:+.3f}" if piece.weight else "") for piece in pieces], key)


def highlight_entities(parts: Sequence[tuple[str, str]], *, key: str) -> None:
    """Entities followed by their type."""
    _draw([(text, 0.0, formatting.clean(kind, 40)) for text, kind in parts], key, tags=True)


def _draw(parts: Sequence[tuple[str, float, str]], key: str, *, tags: bool = False) -> None:
    shown, remaining = [], MAX_CHARACTERS
    for text, weight, note in parts:
        if remaining <= 0:
            break
        shown.append([formatting.clean(text, min(remaining, 2000)) if text.strip() else " ", weight, note])
        remaining -= len(text)
    _WORDS(key=key, data={"parts": shown, "tags": tags}, width="stretch", height="content")
