"""What the project stands on: versions, machine, disk, and what the doctor finds."""

from dashboard.ui import page_context
from dashboard.views.project import environment

context = page_context.context()
environment.show(context.root)
