"""A text in which words carry a colour: how much each spoke for an answer, or what kind of name it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.readers.model_inputs import Piece, strongest
from dashboard.text import formatting

MOST_LETTERS = 20_000
_HERE = Path(__file__).parent
_WORDS = st.components.v2.component(
    "bonsai_words",
    html="<p id='words'></p>\n<!-- filled by highlighted_text.js -->\n",
    css=(_HERE / "highlighted_text.css").read_text(encoding="utf-8"),
    js=(_HERE / "highlighted_text.js").read_text(encoding="utf-8"),
)


def weighed(found: Sequence[Piece], *, key: str) -> None:
    """Words that spoke for the answer in orange, against it in blue; the strongest in full colour."""
    most = strongest(found)
    _draw([(piece.text, round(piece.weight / most, 3), f"{piece.weight:+.3f}" if piece.weight else "") for piece in found], key)


def tagged(parts: Sequence[tuple[str, str]], *, key: str) -> None:
    """Names with their kind behind them."""
    _draw([(text, 0.0, formatting.clean(kind, 40)) for text, kind in parts], key, tags=True)


def _draw(parts: Sequence[tuple[str, float, str]], key: str, *, tags: bool = False) -> None:
    shown, room = [], MOST_LETTERS
    for text, weight, note in parts:
        if room <= 0:
            break
        shown.append([formatting.clean(text, min(room, 2000)) if text.strip() else " ", weight, note])
        room -= len(text)
    _WORDS(key=key, data={"parts": shown, "tags": tags}, width="stretch", height="content")
