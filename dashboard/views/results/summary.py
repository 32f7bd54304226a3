"""The summary of a model: its metric with a confidence interval, key figures, and the comparison with baselines."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.charts import classification_charts
from dashboard.readers.artifact_models import Interval, Metrics, SplitMetrics
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting, translations
from dashboard.ui import widgets
from dashboard.ui.locale import t, word
from tasks.core import registry
from tasks.core.compression import DENSE
from tasks.core.errors import UserError

PERCENT_METRICS = ("accuracy", "token_accuracy")
LOWER_IS_BETTER = ("log_loss", "ece", "brier", "qlike", "mse", "pinball_5", "pinball_1", "perplexity", "rmse", "mae")
LABEL_UNIT_METRICS = ("rmse", "mae")
"""Metrics in the unit of the label, of any size."""
MAX_CARDS = 4


@dataclass(frozen=True, slots=True)
class Baseline:
    """The metric of a simpler model on the same rows."""

    name: str
    value: float
    interval: Interval


def metric_value(metric: str, value: float | None, digits: int = 4) -> str:
    """A metric's value as text."""
    if metric in LABEL_UNIT_METRICS:
        return formatting.significant(value)
    return formatting.percent(value, 2) if metric in PERCENT_METRICS else formatting.number(value, digits)


def interval_text(metric: str, interval: Interval) -> str:
    """The interval as text, on the metric's scale."""
    if metric in PERCENT_METRICS:
        return f"{interval.low * 100:.1f}–{interval.high * 100:.1f} %"
    return formatting.interval(interval.low, interval.high)


def metric_name(metric: str) -> str:
    """The metric's translated name."""
    key = f"metric.{metric}"
    return t(key) if translations.has(key) else formatting.clean(metric, 40).replace("_", " ")


def axis_title(metric: str) -> str:
    """The metric's name on an axis; it says so when lower is better."""
    return t("results.less_axis", metric=metric_name(metric)) if metric in LOWER_IS_BETTER else metric_name(metric)


def higher_is_better(use_case: str) -> bool:
    """Whether a higher value of the use case's first metric is better."""
    try:
        problem = getattr(registry.find_class("use_cases", use_case), "problem", None)
        return bool(getattr(problem, "higher_is_better", True))
    except (UserError, ImportError, AttributeError):
        return True


def best_baseline(metrics: Metrics, split: str, first: str, *, higher: bool) -> Baseline | None:
    """The best of the trivial and classic baselines, which only the dense model's metrics contain; None without any."""
    baselines = [
        Baseline(name, value, baseline[split].interval)
        for name, baseline in metrics.baselines.items()
        if split in baseline and (value := baseline[split].scores.get(first)) is not None
    ]
    return (max if higher else min)(baselines, key=lambda baseline: baseline.value, default=None)


def sentence(artifacts: Artifacts, recipe: str, split_metrics: SplitMetrics, split: str) -> None:
    """The model's metric in a sentence; a warning comes first when a baseline is as good or better."""
    first, value = split_metrics.first, split_metrics.value
    if value is None:
        return
    higher = higher_is_better(artifacts.use_case)
    text = t(
        "results.sentence",
        recipe=formatting.escape(recipe),
        metric=formatting.escape(metric_name(first)),
        value=metric_value(first, value),
        low_high=interval_text(first, split_metrics.interval),
        rows=formatting.number(split_metrics.rows),
        split=t(f"results.{split}"),
    )
    try:
        dense = artifacts.metrics(DENSE)
        baseline, gains = best_baseline(dense, split, first, higher=higher), dense.gains(split)
    except Unreadable:
        baseline, gains = None, {}
    if baseline is None:
        st.markdown(text)
        return
    values = {"baseline": formatting.escape(word("baseline", baseline.name)), "value": metric_value(first, baseline.value)}
    better = baseline.value >= value if higher else baseline.value <= value
    close = split_metrics.interval.low <= baseline.value <= split_metrics.interval.high
    gain = gains.get(baseline.name) if recipe == DENSE else None
    if gain is not None:
        better, close = gain.high < 0 or (better and gain.low <= 0), gain.low <= 0
    if better:
        st.warning(t("results.baseline_better", **values), icon=":material/balance:")
        st.markdown(text)
    else:
        st.markdown(f"{text} {t('results.baseline_close' if close else 'results.baseline_worse', **values)}")
    if gain is not None:
        low_high = formatting.interval(gain.low, gain.high, 4)
        method = formatting.escape(gain.test, 120)
        if gain.p is not None:
            method = f"{method}, {t('results.chance', p=formatting.escape(formatting.p_value(gain.p)))}"
        st.caption(t("results.gain", value=formatting.number(gain.value, 4), low_high=low_high, method=method))


def cards(artifacts: Artifacts, recipe: str, metrics: Metrics, split_metrics: SplitMetrics) -> None:
    """The metrics side by side, the first with its interval; then size and latency."""
    values: dict[str, tuple[str, str]] = {}
    for metric, value in list(split_metrics.scores.items())[:MAX_CARDS]:
        note = (
            t("results.card_small", low_high=interval_text(metric, split_metrics.interval))
            if metric == split_metrics.first
            else ""
        )
        values[metric_name(metric)] = (metric_value(metric, value), note)
    values[t("results.size")] = (
        formatting.size(metrics.bytes),
        t("results.of_dense", share=formatting.percent(metrics.bytes_share)),
    )
    try:
        latency = artifacts.latency(recipe).variants.get(recipe)
    except Unreadable:
        latency = None
    if latency and "1" in latency.batches:
        values[t("results.latency")] = (
            formatting.milliseconds(latency.batches["1"].median_ms),
            t("results.p95", value=formatting.milliseconds(latency.batches["1"].p95_ms)),
        )
    widgets.cards(values, columns=len(values))
    if lower := [metric_name(metric) for metric in list(split_metrics.scores)[:MAX_CARDS] if metric in LOWER_IS_BETTER]:
        st.caption(t("results.less", metrics=", ".join(lower)))


def standings(artifacts: Artifacts, split: str, split_metrics: SplitMetrics) -> None:
    """The first metric of all recipes and baselines with 95 % confidence intervals."""
    first, rows = split_metrics.first, []
    for recipe in artifacts.recipes():
        try:
            other = artifacts.metrics(recipe).splits.get(split)
        except Unreadable:
            continue
        if other and other.value is not None:
            rows.append((recipe, t("results.recipe"), other.value, other.interval.low, other.interval.high))
    try:
        for name, baseline in artifacts.metrics(DENSE).baselines.items():
            if split in baseline and (value := baseline[split].scores.get(first)) is not None:
                rows.append(
                    (
                        word("baseline", name),
                        t("results.baseline"),
                        value,
                        baseline[split].interval.low,
                        baseline[split].interval.high,
                    )
                )
    except Unreadable:
        pass  # the dense model's own page shows that error
    frame = pd.DataFrame(rows, columns=["name", "kind", "value", "low", "high"])
    if frame.empty:
        return
    drawing = classification_charts.metric_intervals(
        frame, value=axis_title(first), order=[t("results.recipe"), t("results.baseline")]
    )
    widgets.chart(drawing, frame, key="standings", alt_text=t("results.models_alt", metric=metric_name(first)))
