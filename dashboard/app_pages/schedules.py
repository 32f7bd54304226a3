"""When runs start by themselves, and a hand on the switch."""

import streamlit as st

from dashboard import conductor, timetable, view
from dashboard.view import t

context = view.context()
server = conductor.server(context.root)
if server is None:
    st.info(t("schedules.none"), icon=":material/cloud_off:")
    st.code("bonsai up", language=None)
    st.stop()
with view.or_say():
    timetable.deployments(server)
