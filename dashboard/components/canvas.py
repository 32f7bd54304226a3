"""A drawing canvas for mouse, touch and arrow keys."""

from __future__ import annotations

import binascii
from base64 import b64decode
from pathlib import Path

import streamlit as st

MAX_BYTES = 200_000
PREFIX = "data:image/png;base64,"
_HERE = Path(__file__).parent
_CANVAS = st.components.v2.component(
    "bonsai_canvas",
    html="<div id='pad'><canvas tabindex='0' role='img'></canvas>\n<button type='button'></button></div>\n",
    css=(_HERE / "canvas.css").read_text(encoding="utf-8"),
    js=(_HERE / "canvas.js").read_text(encoding="utf-8"),
)


def canvas(*, key: str, label: str, clear: str) -> bytes | None:
    """The drawing as a PNG; None while the canvas is empty."""
    result = _CANVAS(key=key, data={"label": label, "clear": clear}, on_drawing_change=lambda: None, height="content")
    return decoded(result.drawing)


def decoded(drawing: object) -> bytes | None:
    """The PNG of a data URL; None for anything else that a browser may send."""
    if not isinstance(drawing, str) or not drawing.startswith(PREFIX) or len(drawing) > MAX_BYTES:
        return None
    try:
        return b64decode(drawing.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return None
