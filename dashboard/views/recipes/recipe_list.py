"""The recipes of params.yaml, each with its steps, and buttons that edit, copy and remove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.text import formatting
from dashboard.ui.locale import t
from dashboard.views.recipes import params_change, recipe_editor, step_text
from dashboard.views.run.run_table import open_page
from flows.parameters import params_edits
from tasks.core import params_file
from tasks.core.compression import DENSE
from tasks.core.errors import UserError

Steps = Sequence[Mapping[str, Any]]


def show(root: Path, use_case: str) -> None:
    """The editor, if it is open, and all recipes."""
    recipes = params_file.read_params(root / params_edits.FILE).recipes
    draft = recipe_editor.current()
    if draft is None:
        with st.container(horizontal=True):
            st.button(t("recipes.add"), type="primary", icon=":material/add:", key="add_recipe", on_click=recipe_editor.open_new)
            if st.button(t("recipes.run"), icon=":material/play_arrow:", key="run_recipes"):
                open_page("run", {"uc": use_case, "new": "1"})
    else:
        recipe_editor.editor(root, draft, list(recipes))
    for name, steps in recipes.items():
        with st.container(border=True):
            _recipe(root, name, steps)


def _recipe(root: Path, name: str, steps: Steps) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{formatting.escape(name, 64)}**", width="content")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="stretch"):
            step_text.badges(steps)
        if name != DENSE:
            st.button(
                t("recipes.edit"),
                icon=":material/edit:",
                key=f"edit_{name}",
                on_click=recipe_editor.open_recipe,
                args=(name, steps),
            )
            st.button(
                t("recipes.copy"),
                icon=":material/content_copy:",
                key=f"copy_{name}",
                on_click=recipe_editor.open_copy,
                args=(name, steps),
            )
            with st.popover(t("recipes.remove"), icon=":material/delete:", key=f"remove_{name}"):
                st.markdown(t("recipes.remove_sure", recipe=formatting.escape(name, 64)))
                st.button(t("recipes.remove_yes"), type="primary", key=f"remove_{name}_yes", on_click=_remove, args=(root, name))
    if name == DENSE:
        st.caption(t("recipes.dense"))
    elif settings := step_text.settings(steps):
        st.caption(settings)


def _remove(root: Path, name: str) -> None:
    try:
        edit = params_edits.without_recipe(root, name)
    except UserError as error:
        params_change.refuse(error)
        return
    params_change.write(root, edit, t("recipes.removed", recipe=formatting.escape(name, 64)))
    if (draft := recipe_editor.current()) and draft.replaces == name:
        recipe_editor.close()
