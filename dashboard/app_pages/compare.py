"""Two to six runs side by side."""

import streamlit as st

from dashboard import comparing, view
from dashboard.view import t

context = view.context()
chosen = comparing.choose(context.root, context.use_case)
if len(chosen) < 2:
    view.nothing("compare.choose")
    st.stop()
VIEWS = {
    "table": comparing.table,
    "curves": comparing.curves,
    "parameters": comparing.parameters,
    "classes": comparing.classes,
}
picked = view.choose_view(VIEWS, "compare")
with view.or_say():
    VIEWS[picked](chosen, context.use_case)
st.caption(t("compare.note"))
