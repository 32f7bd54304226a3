"""What the project stands on: versions, machine, disk, and what the doctor finds."""

from dashboard import belongings, view

context = view.context()
belongings.show(context.root)
