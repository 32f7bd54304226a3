"""Metrics of the models, and the rows they get wrong."""

import streamlit as st

from dashboard.readers.project_files import Unreadable
from dashboard.ui import page_context, pickers, verdict_view
from dashboard.ui.locale import t
from dashboard.views.results import classification, language_model, named_entities, regression, risk_forecasts, summary
from tasks.core.splits import EVALUATION_SPLITS

context = page_context.current()
artifacts = context.artifacts
recipes = artifacts.models() if artifacts else []
verdict_view.of_page(context)
if not artifacts or not recipes:
    page_context.empty_state("results.none")
    st.stop()

released = artifacts.released()
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    default = released if released in recipes else recipes[0]
    recipe = pickers.choose_from("recipe", recipes, t("results.recipe"), default, as_buttons=True)
    split = pickers.choose_from(
        "split", EVALUATION_SPLITS[::-1], t("results.split"), "test", lambda name: t(f"results.{name}"), as_buttons=True
    )
with page_context.error_boundary():
    metrics = artifacts.metrics(recipe)
    if split not in metrics.splits:
        raise Unreadable("unreadable.shape", file="metrics.json")
    split_metrics = metrics.splits[split]
    summary.sentence(artifacts, recipe, split_metrics, split)
    summary.cards(artifacts, recipe, metrics, split_metrics)
    for views in (
        classification,
        regression,
        risk_forecasts,
        named_entities,
        language_model,
    ):  # the report's content decides which views apply, not the use case
        if views.matches(split_metrics.report):
            views.show(artifacts, recipe, split, split_metrics)
            break
    else:
        with st.container(border=True):
            summary.standings(artifacts, split, split_metrics)
