"""Labels that seem wrong: rows the model is sure belong to another class than they are said to."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from pydantic import Field

from dashboard.readers.artifact_models import Reading, understood
from dashboard.readers.artifacts import Artifacts
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t

WORDS = "text"


class Noise(Reading):
    """How many labels are suspected, which, and how well that goes where the truth is known."""

    suspected: int
    share: float
    precision: float | None = None
    recall: float | None = None
    accuracy_against_truth: float | None = None
    rows: list[dict[str, Any]] = Field(default_factory=list)


def show(artifacts: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """How many are suspected, how well that goes where the truth is known, and the surest of them."""
    told = understood(report.get("label_noise"), Noise, "metrics.json")
    cards = {t("doubts.suspected"): (formatting.number(told.suspected), formatting.percent(told.share, 2))}
    for name in ("precision", "recall", "accuracy_against_truth"):
        if (value := getattr(told, name)) is not None:
            cards[t(f"doubts.{name}")] = (formatting.percent(value), "")
    widgets.cards(cards)
    st.caption(t("doubts.note"))
    frame = pd.DataFrame(told.rows)
    if frame.empty:
        return
    predictions = artifacts.predictions(recipe, split)
    if WORDS in predictions and {"file", "row"} <= set(predictions.columns) & set(frame.columns):
        frame = frame.merge(predictions[["file", "row", WORDS]].drop_duplicates(["file", "row"]), on=["file", "row"], how="left")
    columns = {
        "label": st.column_config.TextColumn(t("doubts.label")),
        "seems": st.column_config.TextColumn(t("doubts.seems")),
        "confidence": st.column_config.NumberColumn(t("results.confidence"), format="percent"),
        WORDS: st.column_config.TextColumn(t("doubts.text"), width="large"),
    }
    first = [name for name in ("label", "seems", "confidence", WORDS) if name in frame]
    widgets.table(
        frame[[*first, *[name for name in frame if name not in first]]],
        key="doubts",
        alt_text=t("results_view.doubts"),
        columns=columns,
    )
