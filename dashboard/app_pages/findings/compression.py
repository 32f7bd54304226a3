"""Accuracy against latency and size: what each recipe gained and lost, and which recipe was released."""

import streamlit as st

from dashboard.ui import page_context, pickers, verdict_view
from dashboard.views.compression import contract_terms, latency, losses, release_bundle, seeds, tradeoff

VIEWS = {
    "front": tradeoff.front,
    "terms": contract_terms.terms,
    "damage": losses.by_class,
    "flipped": losses.flipped,
    "timing": latency.latency,
    "seeds": seeds.seeds,
    "bundle": release_bundle.bundle,
}

context = page_context.current()
artifacts = context.artifacts
verdict_view.of_page(context, boxed=True)
if not artifacts or not context.run or not artifacts.recipes():
    page_context.empty_state("compression.none")
    st.stop()
views = [name for name in VIEWS if name != "seeds" or artifacts.has_seeds]
chosen = pickers.choose_view(views, "compression")
with page_context.error_boundary():
    VIEWS[chosen](artifacts, context.run)
