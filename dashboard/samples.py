"""Rows shown as what they are: pictures, texts or lines of a table, with what was said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import figures, gallery, models, view
from dashboard.artifacts import Artifacts
from dashboard.home import Unreadable
from dashboard.view import t
from tasks import images

WORDS = ("text", "sentence", "words")
HIDDEN = ("probabilities", "classes", "pixels", "split")
TILE = 150


def grid(found: Artifacts, rows: pd.DataFrame, *, width: int = TILE) -> None:
    """The rows beside each other, each with its confidence."""
    if rows.empty:
        st.caption(t("results.no_rows"))
        return
    pictures = _pictures(found, rows)
    if not pictures:
        _as_table(rows, "samples")
        return
    with st.grid("auto", min_column_width=width, gap="small"):
        for _, row in rows.iterrows():
            with st.container(gap="xxsmall"):
                _picture(pictures.get(str(row.get("pixels"))), row)
                st.caption(figures.percent(row.get("confidence"), 0))


def mistakes(found: Artifacts, rows: pd.DataFrame, explained_by: str) -> None:
    """Wrong answers: what it is, what was said and how surely; with what spoke for it when a recipe is named."""
    pictures = _pictures(found, rows)
    if not pictures:
        _as_table(rows, "mistakes")
        return
    model, why = None, ""
    if explained_by:
        try:
            model = models.load(found.file(f"compressed/{explained_by}/model.onnx"))
        except Unreadable as trouble:
            why = view.why(trouble)
    if why:
        st.caption(why)
    with st.grid("auto", min_column_width=TILE if model else 110, gap="small"):
        for _, row in rows.iterrows():
            with st.container(border=True, gap="xsmall"):
                data = pictures.get(str(row["pixels"]))
                if model and data and str(row["predicted"]) in model.classes:
                    explained = _occluded(model, data, model.classes.index(str(row["predicted"])))
                    st.image(explained, alt=f"{figures.clean(row['label'], 60)}; {t('results.spoke_for')}", width="stretch")
                else:
                    _picture(data, row)
                st.markdown(
                    f":green-badge[{figures.escape(row['label'], 24)}] "
                    f":red-badge[{figures.escape(row['predicted'], 24)} · {figures.percent(row['confidence'], 0)}]"
                )


def can_explain(found: Artifacts) -> bool:
    """Whether the rows are pictures, whose answers can be explained by covering parts of them."""
    try:
        return "image" in found.columns("clean/rows")
    except Unreadable:
        return False


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs={models.Model: lambda model: (model.use_case, id(model.session))})
def _occluded(model: models.Model, data: bytes, answer: int) -> bytes:
    side, channels = int(model.learnt.get("side", 0)), int(model.learnt.get("channels", 0))
    (pixels,) = images.decode([data], side, channels)
    weights = models.spoke_for(model, pixels, answer)
    return gallery.heat(pixels[0] if channels == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)), weights)


def _pictures(found: Artifacts, rows: pd.DataFrame) -> dict[str, bytes]:
    if "pixels" not in rows:
        return {}
    return gallery.of(found, rows["pixels"].astype(str))


def _picture(data: bytes | None, row: pd.Series) -> None:
    shown = gallery.picture(data) if data else None
    if shown:
        st.image(shown, alt=figures.clean(row.get("label", ""), 60), width="stretch")
    else:
        st.caption(f":material/broken_image: {t('data.no_picture')}")


def _as_table(rows: pd.DataFrame, key: str) -> None:
    shown = rows.drop(columns=[name for name in HIDDEN if name in rows])
    first = [name for name in (*WORDS, "label", "predicted", "confidence") if name in shown]
    ordered = shown[[*first, *[name for name in shown.columns if name not in first]]]
    percent = {"confidence": st.column_config.NumberColumn(t("results.confidence"), format="percent")}
    view.table(ordered, key=key, alt_text=t("results_view.mistakes"), columns=percent)
