"""Choices of a page that are kept in its query parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def query_param(name: str, options: Sequence[str], default: str | None) -> dict[str, Any]:
    """The arguments that bind a widget to a query parameter: its key, and the callback that writes the choice.

    The parameter holds the option itself. Streamlit's own binding would write the label, which changes with the language.
    """
    requested = st.query_params.get(name)
    st.session_state[f"at_{name}"] = requested if requested in options else default
    return {"key": f"at_{name}", "on_change": _write_query_param, "args": (name, default)}


def query_param_list(name: str, options: Sequence[str]) -> dict[str, Any]:
    """The same for a widget with several choices; the query parameter separates them by commas."""
    requested = st.query_params.get(name, "").split(",")
    st.session_state[f"at_{name}"] = [option for option in options if option in requested]
    return {"key": f"at_{name}", "on_change": _write_query_param, "args": (name, None)}


def _write_query_param(name: str, default: str | None) -> None:
    chosen = st.session_state[f"at_{name}"]
    if isinstance(chosen, list):
        chosen = ",".join(chosen)
    if not chosen or chosen == default:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = chosen


def carry_query_params(names: Sequence[str]) -> None:
    """Restore these query parameters after a change of page, where Streamlit drops them.

    Call it before the browser learns of the page, so that it opens the complete URL at once. Call `remember_query_params` later.
    """
    remembered: dict[str, str] = st.session_state.get("kept_address", {})
    if st.session_state.get("page_shown") not in (None, _page()):
        lost = {name: value for name, value in remembered.items() if name in names and name not in st.query_params}
        if lost:
            st.query_params.from_dict({**st.query_params.to_dict(), **lost})


def remember_query_params(names: Sequence[str]) -> None:
    """Remember the page and these query parameters for `carry_query_params`; call it once the choices are made."""
    st.session_state["page_shown"] = _page()
    st.session_state["kept_address"] = {name: st.query_params[name] for name in names if name in st.query_params}


def _page() -> str:
    """The hash that identifies the current page."""
    run_context = get_script_run_ctx()
    return run_context.page_script_hash if run_context else ""
