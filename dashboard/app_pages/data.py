"""Where every row went and why, what the columns hold, and what augmentation makes of a row."""

from dashboard import quality, variants, view
from dashboard.artifacts import Artifacts

VIEWS = {
    "ledger": quality.ledger,
    "columns": quality.before_and_after,
    "splits": quality.splits,
    "augmentation": variants.gallery,
    "drift": quality.drift,
}

context = view.context()
if context.run is None:
    view.nothing("data.none")
else:
    found = Artifacts(context.root, context.run.folder, context.use_case)
    chosen = view.choose_view(VIEWS, "data")
    with view.or_say():
        VIEWS[chosen](found, context)
