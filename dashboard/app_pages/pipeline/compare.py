"""Two to twenty runs side by side."""

import streamlit as st

from dashboard.ui import page_context, pickers
from dashboard.ui.locale import t
from dashboard.views.report import comparison_report
from dashboard.views.run import comparison

context = page_context.current()
chosen = comparison.choose(context.root, context.use_case)
if len(chosen) < 2:
    page_context.empty_state("compare.choose")
    st.stop()
VIEWS = {
    "table": comparison.table,
    "curves": comparison.curves,
    "parameters": comparison.parameters,
    "classes": comparison.classes,
}
with st.container(horizontal=True, vertical_alignment="bottom"):
    picked = pickers.choose_view(VIEWS, "compare")
    comparison_report.button(chosen, context.use_case)
with page_context.error_boundary():
    VIEWS[picked](chosen, context.use_case)
st.caption(t("compare.note"))
