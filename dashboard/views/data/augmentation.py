"""Original rows beside the augmented variants that training uses."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers.artifacts import Artifacts, require_columns
from dashboard.text import formatting
from dashboard.ui import image_grid, widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext

PAGE_SIZE = 10
IMAGE_PIXELS = 70
"""Width of an image; six fit side by side."""
TEXT_COLUMNS = ("text", "sentence", "body", "words")


def gallery(artifacts: Artifacts, context: PageContext) -> None:
    """Each original image, text or series with its augmented variants."""
    report = artifacts.report("augmented")
    st.caption(
        t(
            "data.augmented",
            variants=formatting.number(report.get("variants", 0)),
            seed=formatting.clean(report.get("seed", formatting.NOTHING)),
        )
    )
    preview = artifacts.rows("augmented/preview")
    if preview.empty or not {"original", "variant"} <= set(preview.columns):
        st.caption(t("data.no_variants"))
        return
    require_columns(preview, ("original",), "augmented/preview", ("variant",))
    originals = list(preview["original"].dropna().drop_duplicates())
    page = (
        st.pagination(-(-len(originals) // PAGE_SIZE), key="gallery_page", bind="query-params")
        if len(originals) > PAGE_SIZE
        else 1
    )
    with st.grid(2, min_column_width=420):
        for original in originals[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]:
            with st.container(border=True, height="stretch"):
                _original_and_variants(preview[preview["original"] == original].sort_values("variant"))


def _original_and_variants(rows: pd.DataFrame) -> None:
    """One original and its variants: images side by side, texts one below the other."""
    text_column = next((name for name in TEXT_COLUMNS if name in rows), "")
    label = formatting.escape(rows.iloc[0].get("label", ""), 60)
    if image_grid.image_column(rows.columns):
        with st.container(horizontal=True, gap="xsmall"):
            for picture, row in image_grid.rows_with_images(rows):
                variant = int(row.iloc[0]["variant"])
                caption = t("data.original") if variant == 0 else t("data.variant", number=variant)
                with st.container(width=IMAGE_PIXELS, gap="xxsmall"):
                    if picture:
                        st.image(picture, alt=f"{formatting.clean(row.iloc[0].get('label', ''))}, {caption}", width=IMAGE_PIXELS)
                    st.caption(f"**{label}** · {caption}" if variant == 0 else caption)
    elif text_column:
        st.markdown(f"**{label}** · {formatting.escape(rows.iloc[0][text_column], 600)}")
        for _, row in rows.iloc[1:].iterrows():
            st.caption(f":material/subdirectory_arrow_right: {formatting.escape(row[text_column], 600)}")
    else:
        shown = rows.drop(columns=["original"]).map(lambda cell: formatting.clean(cell, 120) if isinstance(cell, list) else cell)
        st.dataframe(widgets.sanitized(shown), hide_index=True, alt=t("data.variant", number=len(rows) - 1))
