"""Start a run, and watch it grow."""

import streamlit as st

from dashboard.ui import page_context
from dashboard.views.run import live_run, start_form

context = page_context.context()
with page_context.or_say():
    start_form.card(context)
if asked := st.query_params.get("flow"):
    start_form.awaited(context.root, asked)
elif context.run is None:
    page_context.nothing("run.none")
    live_run.preview(context)
else:
    with page_context.or_say():
        live_run.watch(context.run, context.use_case)
