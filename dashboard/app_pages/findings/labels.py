"""Rows whose labels deserve a look, and the decisions on them."""

from dashboard.ui import page_context
from dashboard.views.labels import correction

context = page_context.current()
if context.run is None:
    page_context.empty_state("labels.none")
else:
    with page_context.error_boundary():
        correction.show(context)
