"""Choices of a page that live in its address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def addressed(name: str, options: Sequence[str], default: str | None) -> dict[str, Any]:
    """What ties a widget to the address: its key and the callback that writes the choice there.

    The address holds the option itself; Streamlit's own binding would write its label, which changes with the language.
    """
    wanted = st.query_params.get(name)
    st.session_state[f"at_{name}"] = wanted if wanted in options else default
    return {"key": f"at_{name}", "on_change": _write_address, "args": (name, default)}


def addressed_many(name: str, options: Sequence[str]) -> dict[str, Any]:
    """The same for a widget of which several may be chosen; in the address they are parted by commas."""
    wanted = st.query_params.get(name, "").split(",")
    st.session_state[f"at_{name}"] = [option for option in options if option in wanted]
    return {"key": f"at_{name}", "on_change": _write_address, "args": (name, None)}


def _write_address(name: str, default: str | None) -> None:
    chosen = st.session_state[f"at_{name}"]
    if isinstance(chosen, list):
        chosen = ",".join(chosen)
    if not chosen or chosen == default:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = chosen


def keep_address(names: Sequence[str]) -> None:
    """Carry these choices from page to page, since Streamlit starts each page with an empty address.

    To be called before the browser is told of the page, so that it goes to the whole address at once; `arrived` comes after.
    """
    kept: dict[str, str] = st.session_state.get("kept_address", {})
    if st.session_state.get("page_shown") not in (None, _page()):
        lost = {name: value for name, value in kept.items() if name in names and name not in st.query_params}
        if lost:
            st.query_params.from_dict({**st.query_params.to_dict(), **lost})


def arrived(names: Sequence[str]) -> None:
    """The browser knows of the page now, and these choices of it are made."""
    st.session_state["page_shown"] = _page()
    st.session_state["kept_address"] = {name: st.query_params[name] for name in names if name in st.query_params}


def _page() -> str:
    """What tells this page from the others."""
    running = get_script_run_ctx()
    return running.page_script_hash if running else ""
