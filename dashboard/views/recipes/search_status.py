"""How a search stands: its state, how long it runs, its output, and the button that cancels it."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboard.readers.searches import search_process
from dashboard.readers.searches.search_process import Search, State
from dashboard.text import formatting
from dashboard.ui.locale import t
from dashboard.ui.widgets import Colour

REFRESH_S = 2.0
BADGES: dict[State, tuple[Colour, str]] = {
    "running": ("blue", ":material/sync:"),
    "completed": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/block:"),
    "crashed": ("red", ":material/bolt:"),
}


def show(search: Search, summary: str, share: float | None) -> None:
    """The state of the search with a sentence on what it has tried; `share` of it is done, unknown where None."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            colour, icon = BADGES[search.state]
            st.badge(t(f"state.{search.state}"), color=colour, icon=icon)
            st.markdown(summary, width="stretch")
            if search.is_running:
                st.caption(t("run.running_for", time=formatting.duration(search.elapsed_s)), width="content")
                if st.button(t("recipes.cancel_search"), icon=":material/stop_circle:", key=f"cancel_{search.command[0]}"):
                    search_process.cancel(search)
                    st.rerun()
        if search.is_running and share is not None:
            st.progress(min(1.0, max(0.0, share)))
        if error := search.error():
            st.warning(formatting.capitalized(formatting.escape(error, 800)), icon=":material/warning:")
        with st.expander(t("recipes.output"), icon=":material/terminal:"):
            st.code(shlex.join(["bonsai", *search.command]), language=None, wrap_lines=True)
            lines = [formatting.clean(line, 400) for line in search.lines()]
            st.code("\n".join(lines) or formatting.NOTHING, language=None, height=240)
