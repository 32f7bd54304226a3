"""Results of a language model: what it writes by itself, and the texts it foretold best and worst.

A report of this kind holds `easiest` and `hardest`, lists of {text, perplexity}; the network's own report holds
in `shown` what it wrote as `written`, a list of texts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import highlighted_text
from dashboard.readers.artifact_models import Reading, SplitMetrics, understood
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.model_inputs import Piece
from dashboard.readers.project_files import Unreadable
from dashboard.ui import page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import summary

MOST = 20
LISTED = ("hardest", "easiest")


class PredictedTokens(Reading):
    """A text, and how surprised the model was by it."""

    text: str
    perplexity: float


def is_mine(report: dict[str, Any]) -> bool:
    """Whether a report is one of foretold texts."""
    return "hardest" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """Samples, texts by perplexity, and the measures of all recipes and rivals."""
    report = split_metrics.report
    written = _written(artifacts)
    views = [*(["samples"] if written else []), *(name for name in LISTED if report.get(name)), "standings"]
    chosen = pickers.choose_view(views, "writing")
    with page_context.or_say():
        if chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
        elif chosen == "samples":
            samples(written)
        else:
            listed(report[chosen], chosen)


def _written(artifacts: Artifacts) -> list[Any]:
    try:
        shown = artifacts.report("model").get("shown")
    except Unreadable:
        return []  # the other views do not need it
    written = shown.get("written") if isinstance(shown, dict) else None
    return written if isinstance(written, list) else []


def samples(written: list[Any]) -> None:
    """What the model wrote."""
    st.caption(t("writing.note"))
    with st.grid(2, min_column_width=340, gap="small"):
        for place, text in enumerate(written[:MOST]):
            with st.container(border=True, height="stretch"):
                highlighted_text.weighed([Piece(str(text))], key=f"sample_{place}")


def listed(rows: Any, name: str) -> None:
    """Texts with the perplexity of each."""
    frame = pd.DataFrame([row.model_dump() for row in understood(rows, list[PredictedTokens], "metrics.json")])
    columns = {
        "text": st.column_config.TextColumn(t("doubts.text"), width="large"),
        "perplexity": st.column_config.NumberColumn(summary.name_of("perplexity"), format="%.2f"),
    }
    widgets.table(frame, key=f"writing_{name}", alt_text=t("metric.perplexity"), columns=columns)
