"""The summary of a model: its metric with a confidence interval, key figures, and the comparison with baselines."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.analysis.run_outcome import best_baseline
from dashboard.charts import classification_charts
from dashboard.readers.artifact_models import Metrics, SplitMetrics
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import metric_text, widgets
from dashboard.ui.locale import t, word
from tasks.core.compression import DENSE

MAX_CARDS = 4


def sentence(artifacts: Artifacts, recipe: str, split_metrics: SplitMetrics, split: str) -> None:
    """The model's metric in a sentence; a warning comes first when a baseline is as good or better."""
    first, value = split_metrics.first, split_metrics.value
    if value is None:
        return
    higher = metric_text.higher_is_better(artifacts.use_case)
    text = t(
        "results.sentence",
        recipe=formatting.escape(recipe),
        metric=formatting.escape(metric_text.metric_name(first)),
        value=metric_text.metric_value(first, value),
        low_high=metric_text.interval_text(split_metrics.interval),
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
    values = {
        "baseline": formatting.escape(word("baseline", baseline.name)),
        "value": metric_text.metric_value(first, baseline.value),
    }
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
        low_high = metric_text.signed_interval(gain.low, gain.high)
        method = formatting.escape(gain.test, 120)
        if gain.p is not None:
            method = f"{method}, {t('results.chance', p=formatting.escape(formatting.p_value(gain.p)))}"
        st.caption(t("results.gain", value=metric_text.signed(gain.value), low_high=low_high, method=method))


def cards(artifacts: Artifacts, recipe: str, metrics: Metrics, split_metrics: SplitMetrics) -> None:
    """The metrics side by side, the first with its interval; then size and latency."""
    values: dict[str, tuple[str, str]] = {}
    for metric, value in list(split_metrics.scores.items())[:MAX_CARDS]:
        note = (
            t("results.card_small", low_high=metric_text.interval_text(split_metrics.interval))
            if metric == split_metrics.first
            else ""
        )
        values[metric_text.metric_name(metric)] = (metric_text.metric_value(metric, value), note)
    values[t("results.size")] = (
        formatting.size(metrics.bytes),
        t("results.of_dense", share=formatting.percent(metrics.bytes_share)),
    )
    try:
        latency = artifacts.latency().variants.get(recipe)
    except Unreadable:
        latency = None
    if latency and "1" in latency.batches:
        values[t("results.latency")] = (
            formatting.milliseconds(latency.batches["1"].median_ms),
            t("results.p95", value=formatting.milliseconds(latency.batches["1"].p95_ms)),
        )
    widgets.cards(values, columns=len(values))
    if lower := [
        metric_text.metric_name(metric)
        for metric in list(split_metrics.scores)[:MAX_CARDS]
        if metric in metric_text.LOWER_IS_BETTER
    ]:
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
        frame, value=metric_text.axis_title(first), order=[t("results.recipe"), t("results.baseline")]
    )
    widgets.chart(drawing, frame, key="standings", alt_text=t("results.models_alt", metric=metric_text.metric_name(first)))
