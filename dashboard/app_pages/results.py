"""How well the models answer, and where they fail."""

import streamlit as st

from dashboard import classes, entities, headline, risks, view, writing
from dashboard.artifacts import SPLITS, Artifacts
from dashboard.home import Unreadable
from dashboard.view import t

context = view.context()
found = Artifacts(context.root, context.run.folder, context.use_case) if context.run else None
recipes = found.recipes() if found else []
if not found or not recipes:
    view.nothing("results.none")
    st.stop()

try:
    released = found.verdict().released
except Unreadable:
    released = None
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    default = released if released in recipes else recipes[0]
    recipe = view.choose_from("recipe", recipes, t("results.recipe"), default, few=True)
    split = view.choose_from("split", SPLITS, t("results.split"), "test", lambda name: t(f"results.{name}"), few=True)
with view.or_say():
    metrics = found.metrics(recipe)
    if split not in metrics.splits:
        raise Unreadable("unreadable.shape", file="metrics.json")
    appraisal = metrics.splits[split]
    headline.sentence(found, recipe, appraisal, split)
    headline.cards(found, recipe, metrics, appraisal)
    for views in (classes, risks, entities, writing):  # whose report it is shows by what it holds, whatever the use case
        if views.is_mine(appraisal.report):
            views.show(found, recipe, split, appraisal)
            break
    else:
        with st.container(border=True):
            headline.standings(found, split, appraisal)
