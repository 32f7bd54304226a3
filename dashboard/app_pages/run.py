"""Start a run, and watch it grow."""

import streamlit as st

from dashboard import starting, view, watching

context = view.context()
with view.or_say():
    starting.card(context)
if asked := st.query_params.get("flow"):
    starting.awaited(context.root, asked)
elif context.run is None:
    view.nothing("run.none")
    watching.preview(context)
else:
    with view.or_say():
        watching.watch(context.run, context.use_case)
