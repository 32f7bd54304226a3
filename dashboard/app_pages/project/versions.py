"""The stages that are out of date and why, and the versions of data and models."""

from dashboard.ui import page_context, pickers
from dashboard.views.project import versions

context = page_context.current()
VIEWS = {"status": versions.status, "versions": versions.versions}
chosen = pickers.choose_view(VIEWS, "versions")
with page_context.error_boundary():
    VIEWS[chosen](context)
