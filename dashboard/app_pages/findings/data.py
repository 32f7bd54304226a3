"""Data quality: kept and quarantined rows, columns, splits, augmented rows, and drift between runs."""

from dashboard.ui import page_context, pickers
from dashboard.views.data import augmentation, columns, quality, splits

VIEWS = {
    "quality": quality.row_counts,
    "columns": columns.before_and_after,
    "splits": splits.splits,
    "augmentation": augmentation.gallery,
    "drift": columns.drift,
}

context = page_context.current()
artifacts = context.artifacts
if artifacts is None:
    page_context.empty_state("data.none")
else:
    chosen = pickers.choose_view(VIEWS, "data")
    with page_context.error_boundary():
        VIEWS[chosen](artifacts, context)
