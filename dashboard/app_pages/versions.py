"""Which stages are out of date and why, and the data and model versions there were."""

from dashboard.ui import page_context, pickers
from dashboard.views.project import versions

context = page_context.context()
VIEWS = {"status": versions.status, "versions": versions.versions}
chosen = pickers.choose_view(VIEWS, "versions")
with page_context.or_say():
    VIEWS[chosen](context)
