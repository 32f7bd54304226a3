"""The registered models: the champion, all versions, what happened to them, and how to use one."""

from dashboard.ui import page_context
from dashboard.views.models import registry

context = page_context.current()
with page_context.error_boundary():
    registry.show(context)
