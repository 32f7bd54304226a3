"""Every run there was: what was set, what came of it, and what people keep about it."""

from dashboard.ui import page_context
from dashboard.views.run import run_table

context = page_context.context()
run_table.table(context.root)
