"""Label errors: rows that the model confidently assigns to another class than their label."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.readers.artifact_models import parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.report_models import LabelErrors
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t
from dashboard.views.labels import link

TEXT_COLUMN = "text"


def show(artifacts: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """The number of suspected label errors, how reliable the suspicion is, and the most confident cases."""
    errors = parse_as(report.get("label_noise"), LabelErrors, "metrics.json")
    cards = {t("label_errors.suspected"): (formatting.number(errors.suspected), formatting.percent(errors.share, 2))}
    for name in ("precision", "recall", "accuracy_against_truth"):
        if (value := getattr(errors, name)) is not None:
            cards[t(f"label_errors.{name}")] = (formatting.percent(value), "")
    widgets.cards(cards)
    st.caption(t("label_errors.note"))
    frame = pd.DataFrame(errors.rows)
    if frame.empty:
        return
    link.button(artifacts, "suspects")
    predictions = artifacts.predictions(recipe, split)
    if TEXT_COLUMN in predictions and {"file", "row"} <= set(predictions.columns) & set(frame.columns):
        frame = frame.merge(
            predictions[["file", "row", TEXT_COLUMN]].drop_duplicates(["file", "row"]), on=["file", "row"], how="left"
        )
    columns = {
        "label": st.column_config.TextColumn(t("label_errors.label")),
        "seems": st.column_config.TextColumn(t("label_errors.suggested")),
        "confidence": st.column_config.NumberColumn(t("results.confidence"), format="percent"),
        TEXT_COLUMN: st.column_config.TextColumn(t("label_errors.text"), width="large"),
    }
    first = [name for name in ("label", "seems", "confidence", TEXT_COLUMN) if name in frame]
    widgets.table(
        frame[[*first, *[name for name in frame if name not in first]]],
        key="doubts",
        alt_text=t("results_view.label_errors"),
        columns=columns,
    )
