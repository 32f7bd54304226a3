"""The first thing to know about a model: how well it answers, how surely, and whether something simpler does better."""

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

AS_PERCENT = ("accuracy", "token_accuracy")
LESS_IS_BETTER = ("log_loss", "ece", "brier", "qlike", "mse", "pinball_5", "pinball_1", "perplexity")
MOST_CARDS = 4


@dataclass(frozen=True, slots=True)
class Baseline:
    """Something simpler that answered the same rows."""

    name: str
    value: float
    interval: Interval


def figure(metric: str, value: float | None, digits: int = 4) -> str:
    """A measure as people write it."""
    return formatting.percent(value, 2) if metric in AS_PERCENT else formatting.number(value, digits)


def span(metric: str, interval: Interval) -> str:
    """The interval, on the measure's scale."""
    if metric in AS_PERCENT:
        return f"{interval.low * 100:.1f}–{interval.high * 100:.1f} %"
    return formatting.interval(interval.low, interval.high)


def name_of(metric: str) -> str:
    key = f"metric.{metric}"
    return t(key) if translations.has(key) else formatting.clean(metric, 40).replace("_", " ")


def axis_of(metric: str) -> str:
    """The measure's name on an axis, with its direction where that is not what one expects."""
    return t("results.less_axis", metric=name_of(metric)) if metric in LESS_IS_BETTER else name_of(metric)


def higher_is_better(use_case: str) -> bool:
    """Whether the first metric of the use case is to be raised."""
    try:
        problem = getattr(registry.find_class("use_cases", use_case), "problem", None)
        return bool(getattr(problem, "higher_is_better", True))
    except (UserError, ImportError, AttributeError):
        return True


def best_rival(metrics: Metrics, split: str, first: str, *, higher: bool) -> Baseline | None:
    """The best of the trivial and classic rivals; only the dense model's metrics know them."""
    baselines = [
        Baseline(name, value, rival[split].interval)
        for name, rival in metrics.baselines.items()
        if split in rival and (value := rival[split].scores.get(first)) is not None
    ]
    return (max if higher else min)(baselines, key=lambda rival: rival.value, default=None)


def sentence(artifacts: Artifacts, recipe: str, split_metrics: SplitMetrics, split: str) -> None:
    """What the model does, in a sentence; a warning first where something simpler does as well or better."""
    first, value = split_metrics.first, split_metrics.value
    if value is None:
        return
    higher = higher_is_better(artifacts.use_case)
    said = t(
        "results.sentence",
        recipe=formatting.escape(recipe),
        metric=formatting.escape(name_of(first)),
        value=figure(first, value),
        low_high=span(first, split_metrics.interval),
        rows=formatting.number(split_metrics.rows),
        split=t(f"results.{split}"),
    )
    try:
        dense = artifacts.metrics(DENSE)
        rival, gains = best_rival(dense, split, first, higher=higher), dense.gains(split)
    except Unreadable:
        rival, gains = None, {}
    if rival is None:
        st.markdown(said)
        return
    told = {"rival": formatting.escape(word("rival", rival.name)), "value": figure(first, rival.value)}
    better = rival.value >= value if higher else rival.value <= value
    close = split_metrics.interval.low <= rival.value <= split_metrics.interval.high
    gain = gains.get(rival.name) if recipe == DENSE else None
    if gain is not None:
        better, close = gain.high < 0 or (better and gain.low <= 0), gain.low <= 0
    if better:
        st.warning(t("results.rival_wins", **told), icon=":material/balance:")
        st.markdown(said)
    else:
        st.markdown(f"{said} {t('results.rival_close' if close else 'results.rival_loses', **told)}")
    if gain is not None:
        low_high = formatting.interval(gain.low, gain.high, 4)
        method = formatting.escape(gain.test, 120)
        if gain.p is not None:
            method = f"{method}, {t('results.chance', p=formatting.escape(formatting.chance(gain.p)))}"
        st.caption(t("results.gain", value=formatting.number(gain.value, 4), low_high=low_high, method=method))


def cards(artifacts: Artifacts, recipe: str, metrics: Metrics, split_metrics: SplitMetrics) -> None:
    """The measures side by side, the first with its interval; then size and latency."""
    shown: dict[str, tuple[str, str]] = {}
    for metric, value in list(split_metrics.scores.items())[:MOST_CARDS]:
        small = t("results.card_small", low_high=span(metric, split_metrics.interval)) if metric == split_metrics.first else ""
        shown[name_of(metric)] = (figure(metric, value), small)
    shown[t("results.size")] = (
        formatting.size(metrics.bytes),
        t("results.of_dense", share=formatting.percent(metrics.bytes_share)),
    )
    try:
        own = artifacts.latency(recipe).variants.get(recipe)
    except Unreadable:
        own = None
    if own and "1" in own.batches:
        shown[t("results.latency")] = (
            formatting.milliseconds(own.batches["1"].median_ms),
            t("results.p95", value=formatting.milliseconds(own.batches["1"].p95_ms)),
        )
    widgets.cards(shown, columns=len(shown))
    if less := [name_of(metric) for metric in list(split_metrics.scores)[:MOST_CARDS] if metric in LESS_IS_BETTER]:
        st.caption(t("results.less", metrics=", ".join(less)))


def standings(artifacts: Artifacts, split: str, split_metrics: SplitMetrics) -> None:
    """All recipes and their rivals on one scale, with intervals."""
    first, rows = split_metrics.first, []
    for recipe in artifacts.recipes():
        try:
            other = artifacts.metrics(recipe).splits.get(split)
        except Unreadable:
            continue
        if other and other.value is not None:
            rows.append((recipe, t("results.recipe"), other.value, other.interval.low, other.interval.high))
    try:
        for name, rival in artifacts.metrics(DENSE).baselines.items():
            if split in rival and (value := rival[split].scores.get(first)) is not None:
                rows.append(
                    (word("rival", name), t("results.rival"), value, rival[split].interval.low, rival[split].interval.high)
                )
    except Unreadable:
        pass  # said where the dense model's figures are shown
    frame = pd.DataFrame(rows, columns=["name", "kind", "value", "low", "high"])
    if frame.empty:
        return
    drawing = classification_charts.standings(frame, value=axis_of(first), order=[t("results.recipe"), t("results.rival")])
    widgets.chart(drawing, frame, key="standings", alt_text=t("results.standings_alt", metric=name_of(first)))
