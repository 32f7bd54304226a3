"""Results of named-entity recognition: metrics per entity type, and texts with their true and predicted entities.

A report of this kind holds `per_entity`: a list of {class, precision, recall, f1, support}. Its predictions hold `text`, and
in `tags` and `predicted` an IOB2 tag for each of its words.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import highlighted_text
from dashboard.readers import model_inputs
from dashboard.readers.artifact_models import SplitMetrics, parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import robustness, summary

PAGE_SIZE = 12
REQUIRED_COLUMNS = (model_inputs.TEXT, "tags", "predicted")


def matches(report: dict[str, Any]) -> bool:
    """Whether a report is a named-entity tagger's."""
    return "per_entity" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """The views of a named-entity tagger's results."""
    chosen = pickers.choose_view(["kinds", "marked", *robustness.offered(artifacts, recipe), "standings"], "entities")
    with page_context.error_boundary():
        if chosen == "robustness":
            robustness.show(artifacts, recipe)
        elif chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
        elif chosen == "marked":
            marked(artifacts, recipe, split)
        else:
            kinds(split_metrics.report)


def kinds(report: dict[str, Any]) -> None:
    """Precision, recall and F1 per entity type; an entity counts only if its type and both its ends are correct."""
    frame = pd.DataFrame(parse_as(report["per_entity"], list[dict[str, Any]], "metrics.json"))
    if "class" not in frame:
        raise Unreadable("unreadable.shape", file="metrics.json")
    shares = [name for name in ("precision", "recall", "f1") if name in frame]
    columns: dict[str, Any] = {
        name: st.column_config.ProgressColumn(metric_text.metric_name(name), min_value=0, max_value=1, format="%.3f")
        for name in shares
    }
    columns["class"] = st.column_config.TextColumn(t("entities.kind"), pinned=True)
    columns["support"] = st.column_config.NumberColumn(t("entities.support"), format="localized")
    st.caption(t("entities.note"))
    widgets.table(frame, key="entities", alt_text=t("entities_view.kinds"), columns=columns)


def marked(artifacts: Artifacts, recipe: str, split: str) -> None:
    """Texts with their true and predicted entities, those with differences first."""
    predictions = artifacts.predictions(recipe, split, REQUIRED_COLUMNS)
    wrong = predictions["tags"] != predictions["predicted"]
    ordered = predictions.assign(wrong=wrong).sort_values("wrong", ascending=False, kind="stable")
    st.caption(t("entities.wrong", wrong=formatting.number(int(wrong.sum())), rows=formatting.number(len(ordered))))
    pages = -(-len(ordered) // PAGE_SIZE)
    page = st.pagination(pages, key="entities_page", bind="query-params") if pages > 1 else 1
    for position, (_, row) in enumerate(ordered.iloc[(page - 1) * PAGE_SIZE : page * PAGE_SIZE].iterrows()):
        with st.container(border=True, gap="xsmall"):
            for name, label in (("tags", "true"), ("predicted", "said")):
                if name == "tags" or row["wrong"]:
                    st.caption(t(f"entities.{label}"))
                    highlighted_text.highlight_entities(
                        model_inputs.entity_segments(str(row[model_inputs.TEXT]), str(row[name])), key=f"{name}_{position}"
                    )
