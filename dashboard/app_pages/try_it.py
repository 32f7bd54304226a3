"""Ask the released model yourself, beside the dense one."""

import streamlit as st

from dashboard.readers import model_inputs
from dashboard.readers.artifacts import Artifacts
from dashboard.ui import page_context
from dashboard.ui.locale import t
from dashboard.views.predict import model_comparison, table_input, text_input

context = page_context.context()
found = Artifacts(context.root, context.run.folder, context.use_case) if context.run else None
if not found or not found.recipes():
    page_context.nothing("try_it.none")
    st.stop()
st.caption(t("try_it.note"))
with page_context.or_say():
    ring = model_comparison.contestants(found)
    case = model_inputs.case_of(context.root, found.folder, context.use_case)
    kind = model_inputs.kind(case)
    if kind == "picture":
        model_comparison.picture(found, ring)
    elif kind == "sentence":
        text_input.show(found, case, ring)
    else:
        table_input.show(found, case, ring)
