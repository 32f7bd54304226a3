"""Start a run and watch it."""

import streamlit as st

from dashboard.ui import page_context
from dashboard.views.run import live_run, start_form, welcome

context = page_context.current()
if welcome.is_first(context) and not st.query_params.get("flow"):
    welcome.show(context)
if start_form.is_open(context):
    with page_context.error_boundary():
        start_form.card(context)
if flow_run_id := st.query_params.get("flow"):
    start_form.pending_run(context.root, flow_run_id)
elif context.run is None:
    page_context.empty_state("run.none")
    live_run.preview(context)
else:
    with page_context.error_boundary():
        live_run.watch(context.run, context.use_case)
