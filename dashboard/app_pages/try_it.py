"""Ask the released model yourself, beside the dense one."""

import streamlit as st

from dashboard import asking, view
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
    learnt = ring[0].model.learnt
    if "side" in learnt and "channels" in learnt:
        asking.picture(found, ring)
    else:
        view.nothing("try_it.not_yet")
