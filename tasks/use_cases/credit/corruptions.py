"""Corruptions of tables: columns that are missing, and numbers on another scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.use_case import Corruption
from tasks.use_cases.credit import column_types

if TYPE_CHECKING:
    from numpy.random import Generator
    from pandas import DataFrame

MISSING_SHARE = (0.1, 0.3)
"""Share of the columns that are missing, at severity 1 and 2; at least one is."""
SCALE = (1.1, 2.0)
"""Factor of all quantities, as after inflation or in another currency."""

ColumnKinds = Callable[["DataFrame"], Mapping[str, str]]
"""The kind of each feature column of clean rows: `number` or `category`."""


def corruptions(column_kinds: ColumnKinds) -> tuple[Corruption, ...]:
    """The corruptions of the columns that are features."""
    missing = [partial(drop_columns, column_kinds=column_kinds, share=share) for share in MISSING_SHARE]
    scaled = [partial(scale_numbers, column_kinds=column_kinds, factor=factor) for factor in SCALE]
    return (
        *(Corruption("missing columns", apply, severity) for severity, apply in enumerate(missing, 1)),
        *(Corruption("shifted scale", apply, severity) for severity, apply in enumerate(scaled, 1)),
    )


def drop_columns(rows: DataFrame, generator: Generator, column_kinds: ColumnKinds, share: float) -> DataFrame:
    """The rows without the values of a random share of the columns, as when a source stops to deliver them."""
    kinds = column_kinds(rows)
    chosen = generator.choice(sorted(kinds), max(1, round(share * len(kinds))), replace=False).tolist()
    return rows.assign(**{name: np.nan if kinds[name] == "number" else "" for name in chosen})


def scale_numbers(rows: DataFrame, generator: Generator, column_kinds: ColumnKinds, factor: float) -> DataFrame:
    """The rows with all quantities times `factor`; numbers that may be codes stay."""
    quantities = [
        name for name, kind in column_kinds(rows).items() if kind == "number" and not column_types.is_code_like(rows[name])
    ]
    return rows.assign(**{name: rows[name] * factor for name in quantities})
