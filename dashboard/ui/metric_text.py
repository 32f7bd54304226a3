"""Metrics in words and figures, the same on every page, in a report and in the terminal: four decimals, intervals in brackets."""

from __future__ import annotations

from dashboard.readers.artifact_models import Interval
from dashboard.text import formatting, translations
from dashboard.ui.locale import t
from tasks.core import registry
from tasks.core.errors import UserError

LOWER_IS_BETTER = ("log_loss", "ece", "brier", "qlike", "mse", "pinball_5", "pinball_1", "perplexity", "rmse", "mae")
LABEL_UNIT_METRICS = ("rmse", "mae")
"""Metrics in the unit of the label, of any size."""


def metric_value(metric: str, value: float | None) -> str:
    """A metric's value as text."""
    return formatting.significant(value) if metric in LABEL_UNIT_METRICS else formatting.number(value, 4)


def signed(value: float) -> str:
    """A difference of two metrics, with its sign."""
    return f"{value:+.4f}"


def interval_text(interval: Interval) -> str:
    """The interval as text, on the metric's scale."""
    return formatting.interval(interval.low, interval.high, 4)


def signed_interval(low: float, high: float) -> str:
    """The interval of a difference, with signs."""
    return f"[{low:+.4f}, {high:+.4f}]"


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
