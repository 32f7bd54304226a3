"""Where every row went and why, what the columns hold, and what augmentation makes of a row."""

from dashboard.ui import page_context, pickers
from dashboard.views.data import augmentation, quality

VIEWS = {
    "ledger": quality.ledger,
    "columns": quality.before_and_after,
    "splits": quality.splits,
    "augmentation": augmentation.gallery,
    "drift": quality.drift,
}

context = page_context.context()
artifacts = context.artifacts
if artifacts is None:
    page_context.nothing("data.none")
else:
    chosen = pickers.choose_view(VIEWS, "data")
    with page_context.or_say():
        VIEWS[chosen](artifacts, context)
