"""Rows as images, texts or table rows, with their predictions and explanations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import highlighted_text
from dashboard.readers import model_inputs, onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.model_inputs import Segment
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import image_grid, page_context, widgets
from dashboard.ui.locale import t
from tasks.core.use_case import UseCase
from tasks.inference.loaded_model import LoadedModel
from tasks.use_cases.vision import images

TEXT_COLUMNS = ("text", "sentence", "words")
HIDDEN_COLUMNS = ("probabilities", "classes", "pixels", "split", "attributions")
TILE_PIXELS = 150


def grid(artifacts: Artifacts, rows: pd.DataFrame, *, width: int = TILE_PIXELS) -> None:
    """The rows side by side, each with the confidence of its prediction."""
    if rows.empty:
        st.caption(t("results.no_rows"))
        return
    images_by_key = _images(artifacts, rows)
    if not images_by_key:
        _as_table(rows, "samples")
        return
    with st.grid("auto", min_column_width=width, gap="small"):
        for _, row in rows.iterrows():
            with st.container(gap="xxsmall"):
                _image(images_by_key.get(str(row.get("pixels"))), row)
                st.caption(formatting.percent(row.get("confidence"), 0))


def misclassified(artifacts: Artifacts, rows: pd.DataFrame, explained_by: str) -> None:
    """Misclassified rows with label, prediction and confidence; explained by the model of the recipe `explained_by`, if any."""
    images_by_key = _images(artifacts, rows)
    if not images_by_key and model_inputs.TEXT not in rows:
        _as_table(rows, "mistakes")
        return
    model = None
    with page_context.error_boundary():
        model = onnx_models.load(artifacts.file(artifacts.model_file(explained_by))) if explained_by else None
    if not images_by_key:
        _texts(artifacts, rows, model)
        return
    with st.grid("auto", min_column_width=TILE_PIXELS if model else 110, gap="small"):
        for _, row in rows.iterrows():
            with st.container(border=True, gap="xsmall"):
                data = images_by_key.get(str(row["pixels"]))
                if model and data and str(row["predicted"]) in model.classes:
                    explained = _occlusion_heatmap(model, data, model.classes.index(str(row["predicted"])))
                    st.image(
                        explained, alt=f"{formatting.clean(row['label'], 60)}; {t('results.occlusion_map')}", width="stretch"
                    )
                else:
                    _image(data, row)
                _label_and_prediction(row)


def can_explain(artifacts: Artifacts) -> bool:
    """Whether the rows are images or texts, whose predictions occlusion can explain."""
    try:
        return bool({"image", model_inputs.TEXT} & set(artifacts.columns("clean/rows")))
    except Unreadable:
        return False


def _texts(artifacts: Artifacts, rows: pd.DataFrame, model: LoadedModel | None) -> None:
    """The texts, with the contribution of each word to the prediction when a model is given."""
    case = None
    with page_context.error_boundary():
        case = model_inputs.load_use_case(artifacts.root, artifacts.folder, artifacts.use_case) if model else None
    with st.grid(2, min_column_width=340, gap="small"):
        for position in range(len(rows)):
            row = rows.iloc[[position]]
            with st.container(border=True, gap="xsmall", height="stretch"):
                _label_and_prediction(row.iloc[0])
                parts = [Segment(str(row[model_inputs.TEXT].iloc[0]))]
                weights = row["attributions"].iloc[0] if "attributions" in row else None
                if model and weights is not None and len(weights):
                    parts = model_inputs.with_stored_weights(str(row[model_inputs.TEXT].iloc[0]), list(weights))
                elif model and case and str(row["predicted"].iloc[0]) in model.classes:
                    with page_context.error_boundary():
                        shown = row[[name for name in row.columns if name in (model_inputs.TEXT, case.problem.label_column)]]
                        parts = _attributions(model, case, shown, model.classes.index(str(row["predicted"].iloc[0])))
                highlighted_text.highlight_contributions(parts, key=f"text_{position}")


def _label_and_prediction(row: pd.Series) -> None:
    """The label, the prediction and its confidence as badges."""
    prediction = f"{formatting.escape(row['predicted'], 24)} · {formatting.percent(row['confidence'], 0)}"
    st.markdown(f":green-badge[{formatting.escape(row['label'], 24)}] :red-badge[{prediction}]")


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs={LoadedModel: lambda model: (model.use_case, id(model.session))})
def _attributions(model: LoadedModel, _case: UseCase, row: pd.DataFrame, class_index: int) -> list[Segment]:
    """The words of a text with their contribution to a class."""
    return model_inputs.word_contributions(_case, model, row, class_index)


@st.cache_data(max_entries=500, show_spinner=False, hash_funcs={LoadedModel: lambda model: (model.use_case, id(model.session))})
def _occlusion_heatmap(model: LoadedModel, data: bytes, class_index: int) -> bytes:
    """An image beside the heatmap of its pixels' contribution to a class, as a PNG."""
    side, channels = int(model.state.get("side", 0)), int(model.state.get("channels", 0))
    (pixels,) = images.decode_batch([data], side, channels, model.state.get("fit", "pad"))
    weights = onnx_models.occlusion_map(model, pixels, class_index)
    return image_grid.heatmap(pixels[0] if channels == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)), weights)


def _images(artifacts: Artifacts, rows: pd.DataFrame) -> dict[str, bytes]:
    if "pixels" not in rows:
        return {}
    return image_grid.images_by_key(artifacts, rows["pixels"].astype(str))


def _image(data: bytes | None, row: pd.Series) -> None:
    shown = image_grid.to_png(data) if data else None
    if shown:
        st.image(shown, alt=formatting.clean(row.get("label", ""), 60), width="stretch")
    else:
        st.caption(f":material/broken_image: {t('data.no_picture')}")


def _as_table(rows: pd.DataFrame, key: str) -> None:
    shown = rows.drop(columns=[name for name in HIDDEN_COLUMNS if name in rows])
    leading = [name for name in (*TEXT_COLUMNS, "label", "predicted", "confidence") if name in shown]
    ordered = shown[[*leading, *[name for name in shown.columns if name not in leading]]]
    percent = {"confidence": st.column_config.NumberColumn(t("results.confidence"), format="percent")}
    widgets.table(ordered, key=key, alt_text=t("results_view.mistakes"), columns=percent)
