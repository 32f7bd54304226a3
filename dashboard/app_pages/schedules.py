"""The schedules of the deployments; pause, start or edit them."""

import streamlit as st

from dashboard.readers import prefect_api
from dashboard.ui import page_context
from dashboard.ui.locale import t
from dashboard.views.schedules import deployments

context = page_context.current()
server = prefect_api.server(context.root)
if server is None:
    st.info(t("schedules.none"), icon=":material/cloud_off:")
    st.code("bonsai up", language=None)
    st.stop()
with page_context.error_boundary():
    deployments.deployments(server)
