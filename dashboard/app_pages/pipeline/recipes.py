"""Recipes and tuning: edit recipes, search for better ones, and tune hyperparameters; each choice is written to params.yaml."""

import streamlit as st

from dashboard.ui import page_context, pickers
from dashboard.ui.locale import t
from dashboard.views.recipes import params_change, recipe_list, recipe_search, tuning

VIEWS = {"edit": recipe_list.show, "search": recipe_search.show, "tuning": tuning.show}

context = page_context.current()
st.caption(t("recipes.note"))
params_change.message(context.root)
chosen = pickers.choose_view(VIEWS, "recipes")
with page_context.error_boundary():
    VIEWS[chosen](context.root, context.use_case)
