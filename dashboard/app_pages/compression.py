"""Accuracy against latency and size: what each recipe gained and lost, and which one was released."""

import streamlit as st

from dashboard import tradeoff, view
from dashboard.artifacts import Artifacts
from dashboard.home import Unreadable

VIEWS = {
    "front": tradeoff.front,
    "damage": tradeoff.damage,
    "flipped": tradeoff.flipped,
    "timing": tradeoff.timing,
    "bundle": tradeoff.bundle,
}

context = view.context()
found = Artifacts(context.root, context.run.folder, context.use_case) if context.run else None
if not found or not context.run or not found.recipes():
    view.nothing("compression.none")
    st.stop()
try:
    tradeoff.verdict(found.verdict())
except Unreadable as trouble:
    st.info(view.why(trouble), icon=":material/info:")
chosen = view.choose_view(VIEWS, "compression")
with view.or_say():
    VIEWS[chosen](found, context.run)
