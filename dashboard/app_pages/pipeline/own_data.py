"""Your own data: upload, see how the rows are read, name the columns, and make a use case of it."""

from dashboard.ui import page_context
from dashboard.views.own_data import upload

context = page_context.current()
with page_context.error_boundary():
    upload.show(context.root)
