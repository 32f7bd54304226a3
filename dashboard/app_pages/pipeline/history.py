"""All runs: their parameters, results and annotations."""

from dashboard.ui import page_context
from dashboard.views.run import run_table

context = page_context.current()
run_table.table(context.root)
