"""Originals beside the variants that training will see."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers.artifacts import Artifacts, holding
from dashboard.text import formatting
from dashboard.ui import image_grid as pictures
from dashboard.ui import widgets
from dashboard.ui.locale import t
from dashboard.ui.page_context import Context

SHOWN = 10
SIDE = 70
"""Pixels of a picture: six stand side by side."""
WORDS = ("text", "sentence", "body", "words")


def gallery(artifacts: Artifacts, context: Context) -> None:
    """Pictures, texts or series: each original, and what augmentation makes of it."""
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
    holding(preview, ("original",), "augmented/preview", ("variant",))
    originals = list(preview["original"].dropna().drop_duplicates())
    page = st.pagination(-(-len(originals) // SHOWN), key="gallery_page", bind="query-params") if len(originals) > SHOWN else 1
    with st.grid(2, min_column_width=420):
        for original in originals[(page - 1) * SHOWN : page * SHOWN]:
            with st.container(border=True, height="stretch"):
                _family(preview[preview["original"] == original].sort_values("variant"))


def _family(rows: pd.DataFrame) -> None:
    """One original and its variants, in a row or under each other."""
    words = next((name for name in WORDS if name in rows), "")
    label = formatting.escape(rows.iloc[0].get("label", ""), 60)
    if pictures.column(rows.columns):
        with st.container(horizontal=True, gap="xsmall"):
            for picture, row in pictures.rows_with_pictures(rows):
                variant = int(row.iloc[0]["variant"])
                said = t("data.original") if variant == 0 else t("data.variant", number=variant)
                with st.container(width=SIDE, gap="xxsmall"):
                    if picture:
                        st.image(picture, alt=f"{formatting.clean(row.iloc[0].get('label', ''))}, {said}", width=SIDE)
                    st.caption(f"**{label}** · {said}" if variant == 0 else said)
    elif words:
        st.markdown(f"**{label}** · {formatting.escape(rows.iloc[0][words], 600)}")
        for _, row in rows.iloc[1:].iterrows():
            st.caption(f":material/subdirectory_arrow_right: {formatting.escape(row[words], 600)}")
    else:
        shown = rows.drop(columns=["original"]).map(lambda cell: formatting.clean(cell, 120) if isinstance(cell, list) else cell)
        st.dataframe(widgets.harmless(shown), hide_index=True, alt=t("data.variant", number=len(rows) - 1))
