"""The predictions of the dense and the released model for the same input, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from dashboard.charts import classification_charts
from dashboard.readers import onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import image_grid, metric_text, widgets
from dashboard.ui.locale import t
from dashboard.views.predict import abstention
from tasks.core.compression import DENSE
from tasks.inference.loaded_model import LoadedModel
from tasks.use_cases.vision import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK_SHARE = 20 / 28
"""Share of the side that a drawn glyph fills, as in MNIST."""
MAX_BARS = 12


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """A model with its title and its recipe."""

    name: str
    recipe: str
    model: LoadedModel


def compared_models(artifacts: Artifacts) -> list[ComparedModel]:
    """The dense model, the released one if there is one, and those chosen in addition."""
    choices = [(t("try_it.dense"), DENSE, artifacts.model_file(DENSE))]
    released = artifacts.released()
    if released:
        choices.append((t("try_it.released", recipe=released), released, "release/model.onnx"))
    others = [name for name in artifacts.models() if name not in (DENSE, released)]
    extra = st.multiselect(t("try_it.more_models"), others, key="also", persist_state="session") if others else []
    choices += [(name, name, artifacts.model_file(name)) for name in extra]
    return [ComparedModel(name, recipe, onnx_models.load(artifacts.file(path))) for name, recipe, path in choices]


def show_predictions(models: list[ComparedModel], pixels: NDArray[np.uint8]) -> None:
    """Each model's prediction for one image (C, H, W), with probabilities, latency and the explaining heatmap."""
    for column, compared in zip(st.columns(len(models), gap="medium"), models, strict=True):
        with column, st.container(border=True):
            model = compared.model
            outputs = model.outputs(pixels[None])
            shares = onnx_models.softmax(outputs)[0]
            prediction_card(compared, shares, pixels[None])
            abstention.show(model, outputs, pixels[None])
            heat = image_grid.heatmap(
                pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)),
                onnx_models.occlusion_map(model, pixels, int(shares.argmax())),
            )
            st.image(heat, alt=t("results.occlusion_map"), caption=t("try_it.model_input"), width="stretch")


def prediction_card(compared: ComparedModel, shares: NDArray[Any], inputs: NDArray[Any]) -> None:
    """One model's prediction by its probabilities (K,), and its latency for such inputs (1, ...)."""
    model, best = compared.model, int(shares.argmax())
    name = model.classes[best] if best < len(model.classes) else str(best)
    st.markdown(f"**{formatting.escape(compared.name)}**")
    confidence = formatting.percent(float(shares[best]))
    st.metric(t("try_it.prediction"), formatting.escape(name, 40), confidence, delta_color="off", delta_arrow="off")
    st.caption(
        t("try_it.cost", time=formatting.milliseconds(onnx_models.milliseconds(model, inputs)), size=formatting.size(model.bytes))
    )
    probability_bars(model.classes, shares, compared.recipe)


def probability_bars(classes: Sequence[str], shares: NDArray[Any], key: str) -> None:
    """The probabilities (K,) of the classes as bars, the likeliest where there are many."""
    names = list(classes) or [str(number) for number in range(len(shares))]
    frame = pd.DataFrame({"class": names, "share": shares})
    if len(frame) > MAX_BARS:
        frame = frame.nlargest(MAX_BARS, "share")
    drawing = classification_charts.bars(frame, share=metric_text.metric_name("probability"))
    widgets.chart(drawing, frame, key=f"bars_{key}", alt_text=t("try_it.probabilities"))


def prepare_image(data: bytes, side: int, channels: int, *, drawn: bool, fit: images.Fit = "pad") -> NDArray[np.uint8]:
    """The model input (C, H, W) of an image file; raises `Unreadable`."""
    try:
        image, _ = images.decode_image(data)
    except images.UnreadableImage as error:
        raise Unreadable("try_it.no_picture", reason=str(error)) from None
    if drawn:
        image = center_drawing(image.convert("L"), side)
    image, _ = images.fit_square(image, side, "L" if channels == 1 else "RGB", fit)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def center_drawing(drawing: Image.Image, side: int) -> Image.Image:
    """A white glyph on black as in MNIST: scaled to 20/28 of the side, with its centre of mass in the middle."""
    box = drawing.getbbox()
    if not box:
        return Image.new("L", (side, side))
    glyph = drawing.crop(box)
    scale = side * INK_SHARE / max(glyph.size)
    glyph = glyph.resize((max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))), Image.Resampling.LANCZOS)
    ink = np.asarray(glyph, dtype=np.float64)
    rows, columns = np.indices(ink.shape)
    middle = [float((axis * ink).sum() / max(ink.sum(), 1)) for axis in (columns, rows)]
    canvas_ = Image.new("L", (side, side))
    at = [min(max(round(side / 2 - centre), 0), side - length) for centre, length in zip(middle, glyph.size, strict=True)]
    canvas_.paste(glyph, (at[0], at[1]))
    return canvas_
