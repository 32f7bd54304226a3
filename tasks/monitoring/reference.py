"""What a model was asked and answered when it was evaluated: the reference that live requests are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.inference.released_model import Block, ReleasedModel
from tasks.monitoring.cells import Cells, category_cells, number_cells
from tasks.monitoring.statistics import Profile, answer_statistics, fit_profile, row_statistics

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = 1
MIN_ROWS, MAX_ROWS = 30, 6000


@dataclass(frozen=True, slots=True)
class Reference:
    """The profile, and the cells of each statistic with the counts of reference rows."""

    model: str
    rows: int
    profile: Profile
    cells: Mapping[str, Cells]

    def as_json(self) -> dict[str, Any]:
        cells = {name: each.as_json() for name, each in self.cells.items()}
        return {
            "format": FORMAT,
            "model": self.model,
            "rows": self.rows,
            "profile": dict(self.profile.values),
            "statistics": cells,
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Reference:
        """Raises `KeyError`, `TypeError` or `ValueError` for values of another format."""
        if entry["format"] != FORMAT:
            raise ValueError(f"format {entry['format']}")
        cells = {name: Cells.from_json(each) for name, each in entry["statistics"].items()}
        return cls(str(entry["model"]), int(entry["rows"]), Profile(entry["profile"]), cells)


def build_reference(model: ReleasedModel, name: str, rows: DataFrame, seed: int = 7) -> Reference:
    """The reference of clean rows that the model was not trained on, at most `MAX_ROWS`, drawn at random.

    A third of them gives the profile, a third the cells, and the last third is counted: it is as new to both as live requests
    are. Without a profile two halves do. Raises a `ValueError` for fewer than `MIN_ROWS` rows.
    """
    if len(rows) < MIN_ROWS:
        raise ValueError(f"{len(rows)} rows are too few, {MIN_ROWS} are needed")
    chosen = rows.iloc[np.random.default_rng(seed).permutation(len(rows))[:MAX_ROWS]].reset_index(drop=True)
    first = len(chosen) // 3 if model.kind != "table" else 0
    second = first + (len(chosen) - first) // 2
    profile = fit_profile(model, list(model.blocks(chosen.head(first))))
    fitted, measured = (
        measure_blocks(model, model.blocks(part.reset_index(drop=True)), profile)
        for part in (chosen.iloc[first:second], chosen.iloc[second:])
    )
    cells = {key: each.counting(measured[key].to_numpy()) for key, each in cells_of(fitted).items() if key in measured}
    return Reference(name, len(measured), profile, cells)


def measure_blocks(model: ReleasedModel, blocks: Iterable[Block], profile: Profile | None) -> DataFrame:
    """The statistics of rows and answers, a column each."""
    import pandas as pd

    tables = [pd.concat([row_statistics(model, block, profile), answer_statistics(block.answers)], axis=1) for block in blocks]
    return pd.concat(tables, ignore_index=True)


def cells_of(statistics: DataFrame) -> dict[str, Cells]:
    """The cells of each statistic; those without any value have none."""
    cells = {}
    for name in statistics:
        column = statistics[name]
        if column.notna().any():
            is_number = column.dtype.kind in "fiu"
            cells[str(name)] = number_cells(column.to_numpy(np.float64)) if is_number else category_cells(list(column))
    return cells
