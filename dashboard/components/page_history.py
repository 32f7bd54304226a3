"""Keeps one entry of the browser's history per visited page, so that Back leads to the page and the view before."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_PAGE_HISTORY = st.components.v2.component(
    "bonsai_page_history",
    html="<span hidden></span>\n<!-- nothing to see: page_history.js -->\n",
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
)


def page_history() -> None:
    """Watch the links to other pages; once per window is enough."""
    _PAGE_HISTORY(key="page_history", width="content", height="content")
