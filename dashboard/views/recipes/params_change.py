"""Write an edit of params.yaml, show what changed, and offer to undo it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.text import formatting
from dashboard.ui.locale import t
from flows.parameters import params_edits
from flows.parameters.params_edits import ParamsEdit
from tasks.core.errors import UserError

WRITTEN, REFUSED = "params_written", "params_refused"
"""Session state: the last edit that was written and its sentence, and the reason why one was not written."""


def write(root: Path, edit: ParamsEdit, sentence: str) -> bool:
    """Write the edit; `message` shows the sentence, or the reason why it was refused."""
    try:
        params_edits.write(root, edit)
    except UserError as error:
        st.session_state[REFUSED] = str(error)
        return False
    st.session_state[WRITTEN] = (edit, sentence)
    return True


def refuse(error: UserError) -> None:
    """Show this reason at the top of the page when it is drawn again."""
    st.session_state[REFUSED] = str(error)


def message(root: Path) -> None:
    """What the last edit changed, with a button that undoes it; or why it was refused."""
    if reason := st.session_state.pop(REFUSED, ""):
        st.warning(formatting.capitalized(formatting.escape(reason, 1000)), icon=":material/warning:")
    if WRITTEN not in st.session_state:
        return
    edit, sentence = st.session_state[WRITTEN]
    with st.container(border=True, key="params_written_box"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/check_circle: {sentence}", width="stretch")
            st.button(t("recipes.undo"), icon=":material/undo:", key="undo_params", on_click=_undo, args=(root, edit))
            st.button(t("recipes.hide"), icon=":material/close:", type="tertiary", key="hide_params", on_click=_hide)
        with st.expander(t("recipes.diff"), icon=":material/difference:"):
            diff(edit)


def diff(edit: ParamsEdit) -> None:
    """The lines of params.yaml that an edit changes."""
    lines = [line for line in edit.diff().splitlines() if not line.startswith("@@")]
    st.code("\n".join(lines) or formatting.NOTHING, language="diff", wrap_lines=True)


def _undo(root: Path, edit: ParamsEdit) -> None:
    _hide()
    try:
        params_edits.write(root, edit.undone())
    except UserError as error:
        refuse(error)


def _hide() -> None:
    st.session_state.pop(WRITTEN, None)
