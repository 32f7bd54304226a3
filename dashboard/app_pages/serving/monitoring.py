"""The models in use: requests, latency, answers, drift, alarms and right answers."""

from dashboard.ui import page_context
from dashboard.views.models import monitoring

context = page_context.current()
with page_context.error_boundary():
    monitoring.show(context)
