"""The schedules of the deployments; pause, start or edit them."""

from dashboard.ui import page_context
from dashboard.views.schedules import deployments

context = page_context.current()
with page_context.error_boundary():
    deployments.show(context.root)
