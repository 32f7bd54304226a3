"""An image to draw, upload or take from the test rows, inverted or turned where needed, and the prediction of each model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from dashboard.components.canvas import canvas
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import image_grid, pickers
from dashboard.ui.locale import t
from dashboard.views.predict import model_comparison
from dashboard.views.predict.model_comparison import ComparedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_UPLOAD_MB = 8
MAX_EXAMPLES = 10
TURNS = (0, 90, 180, 270)
HALF = 0.5


def show(models: list[ComparedModel], artifacts: Artifacts) -> None:
    """The ways to give an image, what the model sees of it, and the predictions."""
    state = models[0].model.state
    side, channels = state.get("side"), state.get("channels")
    if not (isinstance(side, int) and isinstance(channels, int)):
        raise Unreadable("unreadable.shape", file="model.onnx")
    left, right = st.columns([2, 3], gap="large")
    with left:
        ways = ["draw", "upload", "example"] if channels == 1 else ["upload", "example"]
        way = pickers.choose_from("way", ways, t("try_it.way"), ways[0], lambda name: t(f"try_it.{name}"), as_buttons=True)
        data = _drawing() if way == "draw" else _uploaded_file() if way == "upload" else _example(artifacts)
        pixels = None
        if data is not None:
            prepared = model_comparison.prepare_image(data, side, channels, drawn=way == "draw", fit=state.get("fit", "pad"))
            pixels = _adjusted(prepared, state, data) if way == "upload" else prepared
    with right:
        if pixels is None:
            st.info(t(f"try_it.{way}_first"), icon=":material/draw:")
            return
        model_comparison.show_predictions(models, pixels)


def _adjusted(pixels: NDArray[np.uint8], state: Mapping[str, Any], data: bytes) -> NDArray[np.uint8]:
    """The image (C, H, W) as the model gets it, with a preview; inverted at first where its polarity is not that of training."""
    key = hashlib.sha256(data).hexdigest()[:12]
    opposite = has_other_polarity(pixels, state.get("mean"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        invert = st.toggle(t("try_it.invert"), value=opposite, key=f"invert_{key}")
        turn = st.segmented_control(
            t("try_it.turn"), TURNS, default=0, required=True, format_func=lambda degrees: f"{degrees}°", key=f"turn_{key}"
        )
    if opposite and invert:
        st.caption(t("try_it.inverted"))
    changed = np.rot90(pixels, k=-int(turn or 0) // 90, axes=(1, 2))
    changed = np.ascontiguousarray(255 - changed if invert else changed)
    st.image(image_grid.pixels_to_png(changed), caption=t("try_it.seen"), width=140)
    return changed


def has_other_polarity(pixels: NDArray[np.uint8], mean: object) -> bool:
    """Whether a grey image (1, H, W) is dark on bright although the model was trained on bright on dark, or the other way round.

    The border shows the ground: its mean brightness lies on the other side of the middle than the mean of the train rows, 0..1.
    """
    if len(pixels) != 1 or not isinstance(mean, list) or not mean or not isinstance(mean[0], int | float):
        return False
    grey = pixels[0]
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return bool((border.mean() / 255 > HALF) != (mean[0] > HALF))


def _drawing() -> bytes | None:
    st.caption(t("try_it.draw_note"))
    return canvas(key="canvas", label=t("try_it.canvas"), clear=t("try_it.clear"))


def _uploaded_file() -> bytes | None:
    file = st.file_uploader(
        t("try_it.file"), type=["png", "jpg", "jpeg", "bmp", "gif", "webp"], key="picture", max_upload_size=MAX_UPLOAD_MB
    )
    return file.getvalue() if file else None


def _example(artifacts: Artifacts) -> bytes | None:
    """A test image that the reader picks; one of each class comes first."""
    rows = artifacts.rows_with_columns("clean/rows", ["image", "label"], [("split", "==", "test")])
    shown = rows.drop_duplicates("label").sort_values("label").head(MAX_EXAMPLES).reset_index(drop=True)
    chosen = st.session_state.get("example")
    with st.container(horizontal=True, wrap=True):
        for number, row in enumerate(shown.to_dict("records")):
            picture = image_grid.to_png(row["image"])
            with st.container(width=96):
                if picture:
                    st.image(picture, width=72, alt=t("try_it.example_alt", label=formatting.clean(row["label"], 40)))
                if st.button(formatting.escape(row["label"], 20), key=f"example_{number}", width="stretch"):
                    chosen = st.session_state["example"] = number
    return bytes(shown["image"].iloc[chosen]) if chosen is not None and chosen < len(shown) else None
