"""Histograms of a column in several tables, and drift between two versions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dashboard.readers.artifacts import Artifacts

Kind = Literal["numbers", "words", "kinds", "times"]
BINS = 30
DRIFT_BINS = 10
MAX_CATEGORIES = 40
TINY = 1e-4
PICTURE = "pixels"
"""The column with the content hash of an image."""
HOUSEKEEPING = (
    "file",
    "row",
    "pixels",
    "look",
    "fit",
    "fix",
    "split",
    "duplicate_group",
    "subset",
    "part",
    "reason",
    "label_kind",
)
"""Columns of provenance, not of content."""
STABLE_BELOW, SIGNIFICANT_ABOVE = 0.1, 0.25
"""Usual thresholds of the population stability index: stable below the first, significant drift above the second."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Difference between the distributions of one column in two tables."""

    column: str
    kind: Kind
    psi: float
    """Population stability index over the deciles of the first table."""
    distance: float
    """Kolmogorov-Smirnov statistic for numbers; largest difference of shares for categories."""
    p_value: float
    """p-value of the Kolmogorov-Smirnov test for numbers, of the chi-squared test for categories."""
    rows: tuple[int, int]

    @property
    def verdict(self) -> Literal["stable", "moderate", "significant"]:
        return "stable" if self.psi < STABLE_BELOW else "moderate" if self.psi < SIGNIFICANT_ABOVE else "significant"


def kind(values: pd.Series) -> Kind | None:
    """Kind of a column's values, also of numbers as text; None for images, lists and other values that cannot be plotted."""
    some = values.dropna().head(200)
    if pd.api.types.is_datetime64_any_dtype(values):
        return "times"
    if pd.api.types.is_bool_dtype(values):
        return "kinds"
    if pd.api.types.is_numeric_dtype(values):
        return "numbers" if values.nunique() > 12 else "kinds"
    if some.empty or not some.map(lambda cell: isinstance(cell, str)).all():
        return None
    if values.nunique() <= MAX_CATEGORIES:
        return "kinds"
    return "numbers" if pd.to_numeric(some, errors="coerce").notna().all() else "words"


def plottable_columns(artifacts: Artifacts, name: str) -> list[str]:
    """The columns of a table that have a histogram."""
    return [column for column in artifacts.columns(name) if column not in HOUSEKEEPING and column != "image"]


def plot_values(values: pd.Series, of: Kind) -> pd.Series:
    """The values as plotted: numbers, text lengths, days, or category names."""
    if of == "numbers":
        return pd.to_numeric(values, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan).dropna()
    if of == "times":
        return (pd.to_datetime(values, utc=True).dropna() - pd.Timestamp(0, tz="UTC")).dt.total_seconds() / 86_400
    if of == "words":
        return values.dropna().astype(str).str.len().astype(float)
    return values.dropna().astype(str)


def histogram(tables: dict[str, pd.Series], of: Kind) -> pd.DataFrame:
    """Shares per bin of the same column in several tables: `table`, `bin` or `from`/`to`, `share`, `rows`."""
    scaled = {name: plot_values(values, of) for name, values in tables.items()}
    if of == "kinds":
        frames = []
        for name, values in scaled.items():
            counts = values.value_counts().head(MAX_CATEGORIES).rename("rows").rename_axis("bin").reset_index()
            frames.append(counts.assign(table=name, share=counts["rows"] / max(1, len(values))))
        return pd.concat(frames, ignore_index=True)
    edges = _edges(np.concatenate([values.to_numpy(dtype=float) for values in scaled.values()]))
    ends = pd.to_datetime(edges, unit="D").round("s") if of == "times" else edges
    frames = []
    for name, values in scaled.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        share = counts / max(1, len(values))
        frames.append(pd.DataFrame({"table": name, "from": ends[:-1], "to": ends[1:], "rows": counts, "share": share}))
    return pd.concat(frames, ignore_index=True)


def drift(column: str, before: pd.Series, after: pd.Series) -> Drift | None:
    """Drift from `before` to `after`; None if they cannot be compared."""
    of = kind(before)
    if of is None or kind(after) is None:
        return None
    from scipy import stats

    one, other = plot_values(before, of), plot_values(after, of)
    if one.empty or other.empty:
        return None
    if of == "kinds":
        names = sorted(set(one) | set(other))
        counts = np.stack([values.value_counts().reindex(names, fill_value=0).to_numpy() for values in (one, other)])
        shares = list(counts / counts.sum(1, keepdims=True))
        distance = float(np.abs(shares[0] - shares[1]).max())
        return Drift(column, of, _psi(*shares), distance, float(stats.chi2_contingency(counts).pvalue), (len(one), len(other)))
    parts = np.unique(np.quantile(one, np.linspace(0, 1, DRIFT_BINS + 1)[1:-1]))
    numbers = [values.to_numpy(dtype=float) for values in (one, other)]
    shares = [np.bincount(np.searchsorted(parts, each, side="right"), minlength=len(parts) + 1) / len(each) for each in numbers]
    test = stats.ks_2samp(*numbers, method="asymp")
    return Drift(column, of, _psi(*shares), float(test.statistic), float(test.pvalue), (len(one), len(other)))


def _edges(values: NDArray[Any]) -> NDArray[Any]:
    """Bin edges between the 0.5 % and 99.5 % quantiles; values outside are counted in the outermost bins."""
    if not len(values):
        return np.linspace(0, 1, BINS + 1)
    low, high = np.quantile(values, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def _psi(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Population stability index of two distributions (B,) over the same bins."""
    before, after = np.maximum(one, TINY), np.maximum(other, TINY)
    return float(((after - before) * np.log(after / before)).sum())
