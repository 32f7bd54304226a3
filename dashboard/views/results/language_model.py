"""Results of a language model: generated samples, and the texts with the lowest and the highest perplexity.

A report of this kind holds `easiest` and `hardest`, lists of {text, perplexity}; the training report holds the
generated samples in `shown` as `written`, a list of texts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import highlighted_text
from dashboard.readers.artifact_models import SplitMetrics, parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.model_inputs import Segment
from dashboard.readers.project_files import Unreadable
from dashboard.readers.report_models import TextPerplexity
from dashboard.ui import metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import summary

MAX_SAMPLES = 20
TEXT_LISTS = ("hardest", "easiest")


def matches(report: dict[str, Any]) -> bool:
    """Whether a report is a language model's."""
    return "hardest" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """Generated samples, texts by perplexity, and the metric of all recipes and baselines."""
    report = split_metrics.report
    texts = _generated_samples(artifacts)
    views = [*(["samples"] if texts else []), *(name for name in TEXT_LISTS if report.get(name)), "standings"]
    chosen = pickers.choose_view(views, "language_model")
    with page_context.error_boundary():
        if chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
        elif chosen == "samples":
            samples(texts)
        else:
            listed(report[chosen], chosen)


def _generated_samples(artifacts: Artifacts) -> list[Any]:
    try:
        shown = artifacts.report("model").get("shown")
    except Unreadable:
        return []  # the other views work without it
    texts = shown.get("written") if isinstance(shown, dict) else None
    return texts if isinstance(texts, list) else []


def samples(texts: list[Any]) -> None:
    """The generated samples."""
    st.caption(t("language_model.note"))
    with st.grid(2, min_column_width=340, gap="small"):
        for position, text in enumerate(texts[:MAX_SAMPLES]):
            with st.container(border=True, height="stretch"):
                highlighted_text.highlight_contributions([Segment(str(text))], key=f"sample_{position}")


def listed(rows: Any, name: str) -> None:
    """A table of texts with their perplexity."""
    frame = pd.DataFrame([row.model_dump() for row in parse_as(rows, list[TextPerplexity], "metrics.json")])
    columns = {
        "text": st.column_config.TextColumn(t("label_errors.text"), width="large"),
        "perplexity": st.column_config.NumberColumn(metric_text.metric_name("perplexity"), format="%.2f"),
    }
    widgets.table(frame, key=f"writing_{name}", alt_text=t("metric.perplexity"), columns=columns)
