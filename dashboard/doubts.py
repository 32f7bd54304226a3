"""Labels that seem wrong: rows the model is sure belong to another class than they are said to."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import figures, view
from dashboard.artifacts import Artifacts
from dashboard.home import Unreadable
from dashboard.view import t

WORDS = "text"


def show(found: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """How many are suspected, how well that goes where the truth is known, and the surest of them."""
    told = report.get("label_noise")
    if not isinstance(told, dict):
        raise Unreadable("unreadable.shape", file="metrics.json")
    cards = {t("doubts.suspected"): (figures.number(told.get("suspected")), figures.percent(told.get("share"), 2))}
    for name in ("precision", "recall", "accuracy_against_truth"):
        if told.get(name) is not None:
            cards[t(f"doubts.{name}")] = (figures.percent(told[name]), "")
    view.cards(cards)
    st.caption(t("doubts.note"))
    frame = pd.DataFrame([row for row in told.get("rows") or [] if isinstance(row, dict)])
    if frame.empty:
        return
    predictions = found.predictions(recipe, split)
    if WORDS in predictions and {"file", "row"} <= set(predictions.columns) & set(frame.columns):
        frame = frame.merge(predictions[["file", "row", WORDS]].drop_duplicates(["file", "row"]), on=["file", "row"], how="left")
    columns = {
        "label": st.column_config.TextColumn(t("doubts.label")),
        "seems": st.column_config.TextColumn(t("doubts.seems")),
        "confidence": st.column_config.NumberColumn(t("results.confidence"), format="percent"),
        WORDS: st.column_config.TextColumn(t("doubts.text"), width="large"),
    }
    first = [name for name in ("label", "seems", "confidence", WORDS) if name in frame]
    view.table(
        frame[[*first, *[name for name in frame if name not in first]]],
        key="doubts",
        alt_text=t("results_view.doubts"),
        columns=columns,
    )
