"""Accuracy against latency and size: what each recipe gained and lost, and which one was released."""

import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.ui import page_context, pickers
from dashboard.views.results import compression

VIEWS = {
    "front": compression.front,
    "damage": compression.damage,
    "flipped": compression.flipped,
    "timing": compression.timing,
    "bundle": compression.bundle,
}

context = page_context.context()
found = Artifacts(context.root, context.run.folder, context.use_case) if context.run else None
if not found or not context.run or not found.recipes():
    page_context.nothing("compression.none")
    st.stop()
try:
    compression.verdict(found.verdict())
except Unreadable as trouble:
    st.info(page_context.why(trouble), icon=":material/info:")
chosen = pickers.choose_view(VIEWS, "compression")
with page_context.or_say():
    VIEWS[chosen](found, context.run)
