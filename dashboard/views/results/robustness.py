"""Robustness of a model: its metric under corruptions and adversarial attacks, beside the dense model's."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import robustness_charts
from dashboard.readers.artifact_models import parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.report_models import Condition, RobustnessReport
from dashboard.text import formatting
from dashboard.ui import metric_text, widgets
from dashboard.ui.locale import t, word
from tasks.core.compression import DENSE


def offered(artifacts: Artifacts, recipe: str) -> list[str]:
    """The name of this view, if the recipe's metrics hold what it shows."""
    return ["robustness"] if artifacts.metrics(recipe).robustness else []


def show(artifacts: Artifacts, recipe: str) -> None:
    """The mean over corruptions in a sentence, then a chart and a table of corruptions, and of attacks."""
    report = parse_as(artifacts.metrics(recipe).robustness, RobustnessReport, "metrics.json")
    metric = report.metric or next(iter(artifacts.metrics(recipe).splits.values())).first
    if report.corruptions:
        with st.container(border=True):
            st.markdown(f"**{t('robustness.corruptions')}**")
            st.caption(t("robustness.corruptions_note", rows=formatting.number(report.rows)))
            if report.mean and report.mean.drop:
                drop = report.mean.drop
                low_high = formatting.interval(drop.low, drop.high, 4)
                st.markdown(t("robustness.mean", drop=formatting.number(drop.value, 4), low_high=low_high))
            conditions = [report.clean.named(t("robustness.clean"))] if report.clean else []
            conditions += [each.named(_corruption_name(each, report)) for each in report.corruptions]
            _compare(recipe, metric, conditions, key="corruptions")
    with st.container(border=True):
        st.markdown(f"**{t('robustness.attacks')}**")
        if not report.adversarial:
            st.caption(t("robustness.no_attacks"))
            return
        st.caption(t("robustness.attacks_note", rows=formatting.number(report.adversarial[0].rows)))
        named = [each.named(f"{each.attack}, {formatting.percent(each.epsilon or 0.0)}") for each in report.adversarial]
        _compare(recipe, metric, named, key="attacks")


def _compare(recipe: str, metric: str, conditions: list[Condition], *, key: str) -> None:
    """A chart and a table of the recipe and dense under each condition."""
    own = [(each.name, recipe, each.score, each.low, each.high) for each in conditions]
    dense = [(each.name, DENSE, each.dense_score, None, None) for each in conditions if recipe != DENSE]
    frame = pd.DataFrame([*own, *dense], columns=["condition", "model", "value", "low", "high"])
    order = [recipe] if recipe == DENSE else [recipe, DENSE]
    title = t(f"robustness.{key}")
    drawing = robustness_charts.conditions(frame, value=metric_text.axis_title(metric), order=order)
    widgets.chart(drawing, frame, key=f"{key}_chart", alt_text=title)
    rows = [
        {
            "condition": each.name,
            "value": each.score,
            "low": each.low,
            "high": each.high,
            "dense_value": each.dense_score,
            **({"drop": each.drop.value, "drop_low": each.drop.low, "drop_high": each.drop.high} if each.drop else {}),
        }
        for each in conditions
    ]
    table = pd.DataFrame(rows)
    columns = {name: st.column_config.NumberColumn(t(f"column.{name}"), format="%.4f") for name in table.columns[1:]}
    widgets.table(table, key=f"{key}_table", alt_text=title, columns=columns)


def _corruption_name(condition: Condition, report: RobustnessReport) -> str:
    """The corruption's translated name, with its severity if there are several."""
    name = word("corruption", condition.name)
    several = sum(other.name == condition.name for other in report.corruptions) > 1
    return t("robustness.severity", name=name, severity=condition.severity) if several else name
