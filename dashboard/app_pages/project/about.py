"""Versions of the packages, the machine, disk usage, and the report of `bonsai doctor`."""

from dashboard.ui import page_context
from dashboard.views.project import environment

context = page_context.current()
environment.show(context.root)
