"""Which stages are out of date and why, and the data and model versions there were."""

from dashboard import lineage, view

context = view.context()
VIEWS = {"status": lineage.status, "versions": lineage.versions}
chosen = view.choose_view(VIEWS, "versions")
with view.or_say():
    VIEWS[chosen](context)
