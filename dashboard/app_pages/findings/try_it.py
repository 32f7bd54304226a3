"""Try the released model on an input of one's own, beside the dense model."""

import streamlit as st

from dashboard.readers import model_inputs
from dashboard.ui import page_context, verdict_view
from dashboard.ui.locale import t
from dashboard.views.predict import image_input, model_comparison, table_input, text_input
from tasks.inference.checked_rows import input_kind

context = page_context.current()
artifacts = context.artifacts
verdict_view.of_page(context)
if not artifacts or not artifacts.recipes():
    page_context.empty_state("try_it.none")
    st.stop()
with page_context.error_boundary():
    models = model_comparison.compared_models(artifacts)
    st.caption(t("try_it.note" if len(models) > 1 else "try_it.note_one"))
    case = model_inputs.load_use_case(context.root, artifacts.folder, context.use_case)
    kind = input_kind(case)
    if kind == "picture":
        image_input.show(models, artifacts)
    elif kind == "text":
        text_input.show(artifacts, case, models)
    else:
        table_input.show(artifacts, case, models)
