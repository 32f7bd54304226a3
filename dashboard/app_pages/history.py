"""Every run there was: what was set, what came of it, and what people keep about it."""

from dashboard import chronicle, view

context = view.context()
chronicle.table(context.root)
