"""A small credit file of a bank that does not exist: numbers, codes, words, cells that know nothing, and who paid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def applicants(rows: int = 500, seed: int = 0) -> pd.DataFrame:
    """Debt and late payments make a default likelier, income less likely; town and customer number say nothing."""
    numbers = np.random.default_rng(seed)
    income, debt = numbers.lognormal(10, 0.5, rows), numbers.lognormal(9, 1, rows)
    late, age = numbers.integers(0, 5, rows), numbers.integers(19, 80, rows)
    housing = numbers.choice(["own", "rent", "free"], rows)
    risk = np.log(debt / income) + 0.9 * late - 2.5 + 0.5 * (housing == "rent")
    table = pd.DataFrame(
        {
            "customer": np.arange(1, rows + 1),
            "income": np.round(income, 2),
            "debt": np.round(debt, 2),
            "late": late,
            "age": age,
            "sex": numbers.choice(["f", "m"], rows),
            "housing": housing,
            "default": np.where(numbers.random(rows) < 1 / (1 + np.exp(-risk)), "yes", "no"),
        }
    )
    table = table.astype(object)
    for name, word in (("income", ""), ("housing", "n/a")):
        table.loc[numbers.random(rows) < 0.04, name] = word
    return table


def write(path: Path, table: pd.DataFrame | None = None) -> Path:
    """The file as CSV."""
    (applicants() if table is None else table).to_csv(path, index=False)
    return path
