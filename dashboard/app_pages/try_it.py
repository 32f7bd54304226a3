"""Ask the released model yourself, beside the dense one."""

import streamlit as st

from dashboard.readers import model_inputs
from dashboard.ui import page_context
from dashboard.ui.locale import t
from dashboard.views.predict import model_comparison, table_input, text_input

context = page_context.context()
artifacts = context.artifacts
if not artifacts or not artifacts.recipes():
    page_context.nothing("try_it.none")
    st.stop()
st.caption(t("try_it.note"))
with page_context.or_say():
    ring = model_comparison.contestants(artifacts)
    case = model_inputs.case_of(context.root, artifacts.folder, context.use_case)
    kind = model_inputs.kind(case)
    if kind == "picture":
        model_comparison.picture(artifacts, ring)
    elif kind == "sentence":
        text_input.show(artifacts, case, ring)
    else:
        table_input.show(artifacts, case, ring)
