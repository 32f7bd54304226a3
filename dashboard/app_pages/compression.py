"""Accuracy against latency and size: what each recipe gained and lost, and which recipe was released."""

import streamlit as st

from dashboard.ui import page_context, pickers, verdict_view
from dashboard.views.results import (
    compression_latency,
    compression_losses,
    compression_seeds,
    compression_tradeoff,
    contract_terms,
    release_bundle,
)

VIEWS = {
    "front": compression_tradeoff.front,
    "terms": contract_terms.terms,
    "damage": compression_losses.by_class,
    "flipped": compression_losses.flipped,
    "timing": compression_latency.latency,
    "seeds": compression_seeds.seeds,
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
