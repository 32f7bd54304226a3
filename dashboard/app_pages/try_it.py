"""Ask the released model yourself, beside the dense one."""

import streamlit as st

from dashboard import asking, questions, sentences, sheets, view
from dashboard.artifacts import Artifacts
from dashboard.view import t

context = view.context()
found = Artifacts(context.root, context.run.folder, context.use_case) if context.run else None
if not found or not found.recipes():
    view.nothing("try_it.none")
    st.stop()
st.caption(t("try_it.note"))
with view.or_say():
    ring = asking.contestants(found)
    case = questions.case_of(context.root, found.folder, context.use_case)
    kind = questions.kind(case)
    if kind == "picture":
        asking.picture(found, ring)
    elif kind == "sentence":
        sentences.show(found, case, ring)
    else:
        sheets.show(found, case, ring)
