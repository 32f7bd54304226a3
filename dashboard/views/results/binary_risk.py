"""Results of a binary risk classifier: separation of both classes, cost of errors, and fairness between groups."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import threshold_curves
from dashboard.charts import classification_charts
from dashboard.readers.artifact_models import parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.report_models import BinaryRiskReport
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t

COSTS = ("cost", "take_all", "refuse_all")
SHARES = ("came", "said", "refused", "refused_good", "caught")


def views(report: dict[str, Any]) -> list[str]:
    """The views for which the report has data."""
    return [name for name, key in (("separation", "event"), ("costs", "cost_curve"), ("groups", "fairness")) if report.get(key)]


def separation(artifacts: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """The ROC curve, and the cumulative distributions of both classes with their largest distance (Kolmogorov-Smirnov)."""
    parsed = parse_as(report, BinaryRiskReport, "metrics.json")
    event = parsed.event
    probabilities, labels = artifacts.probabilities(recipe, split, parsed.classes)
    scores, is_event = probabilities[:, parsed.classes.index(event)], labels == event
    roc_points, shares = threshold_curves.roc(scores, is_event), threshold_curves.separation(scores, is_event)
    if roc_points.empty or shares.empty:
        raise Unreadable("binary_risk.one_class")
    named = t("results.with_area", series=formatting.clean(event, 40), area=formatting.number(threshold_curves.area(roc_points)))
    roc, gap = threshold_curves.downsampled(roc_points).assign(series=named), threshold_curves.gap(shares)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.markdown(f"**{t('results.roc')}**")
        titles = (t("results.fpr"), t("results.tpr"))
        drawing = classification_charts.threshold(roc, x="fpr", y="tpr", titles=titles, order=[named], chance=True)
        widgets.chart(drawing, roc, key="odds_roc", alt_text=t("results.roc"))
    with right, st.container(border=True):
        st.markdown(f"**{t('binary_risk.ks', value=formatting.number(float(gap.max()), 3))}**")
        names = {"positive": t("binary_risk.positive", event=formatting.clean(event, 40)), "negative": t("binary_risk.negative")}
        shown = threshold_curves.downsampled(shares, always=int(gap.argmax()))
        lines = shown.melt("score", ["positive", "negative"], "series", "share").replace({"series": names})
        drawing = classification_charts.lines(
            lines,
            x="score",
            y="share",
            titles=(t("binary_risk.probability"), t("binary_risk.cumulative")),
            order=list(names.values()),
        )
        widgets.chart(drawing, shown, key="odds_ks", alt_text=t("binary_risk.cumulative"))


def costs(artifacts: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """The mean cost per row when everybody above the threshold is refused, for different ratios of the two costs."""
    parsed = parse_as(report, BinaryRiskReport, "metrics.json")
    current = {name: parsed.cost.get(name) for name in ("threshold", *COSTS)}
    widgets.cards(
        {t(f"binary_risk.{name}"): (formatting.number(value, 4), "") for name, value in current.items() if value is not None}
    )
    frame = pd.DataFrame([row.model_dump() for row in parsed.cost_curve])
    names = {name: t(f"binary_risk.{name}") for name in COSTS}
    lines = frame.melt("default_over_refusal", list(COSTS), "series", "value").replace({"series": names})
    with st.container(border=True):
        st.caption(t("binary_risk.costs_note"))
        titles = (t("binary_risk.ratio"), t("binary_risk.mean_cost"))
        drawing = classification_charts.lines(
            lines, x="default_over_refusal", y="value", titles=titles, order=list(names.values()), log=True
        )
        widgets.chart(drawing, frame, key="costs", alt_text=t("binary_risk.costs_note"))


def groups(artifacts: Artifacts, recipe: str, split: str, report: dict[str, Any]) -> None:
    """The rates of each group at the threshold, and the largest gaps between groups."""
    parsed = parse_as(report, BinaryRiskReport, "metrics.json")
    st.caption(t("binary_risk.groups_note", threshold=formatting.number(parsed.threshold, 3)))
    for name, rates in parsed.fairness.items():
        frame = pd.DataFrame(rates.groups)
        if frame.empty:
            continue
        with st.container(border=True):
            st.markdown(f"**{formatting.escape(name, 60)}**")
            gaps = {key: value for key, value in rates.gaps.items() if value is not None}
            st.caption(
                t(
                    "binary_risk.gaps",
                    gaps=" · ".join(f"{t(f'binary_risk.{key}')} {formatting.number(gaps[key])}" for key in SHARES if key in gaps),
                )
            )
            columns: dict[str, Any] = {
                key: st.column_config.ProgressColumn(t(f"binary_risk.{key}"), min_value=0, max_value=1, format="%.3f")
                for key in SHARES
                if key in frame
            }
            columns |= {
                "group": st.column_config.TextColumn(t("binary_risk.group"), pinned=True),
                "rows": st.column_config.NumberColumn(t("data.rows"), format="localized"),
                "auc": st.column_config.NumberColumn(t("metric.auc"), format="%.3f"),
            }
            widgets.table(frame, key=f"groups_{formatting.clean(name, 40)}", alt_text=t("binary_risk.group"), columns=columns)
