"""Duplicates and splits: which rows are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.core.splits import CONTEXT_SPLIT, SPLITS
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series


OTHER_LABEL = ", which is labelled "
KEPT, QUARANTINED, DUPLICATE = "kept", "quarantined", "duplicate"
SPLIT_PRIORITY = {"test": 0, "validation": 1, "train": 2, CONTEXT_SPLIT: 3}
"""Of equal rows the one in the first of these splits is kept, and of those the first in order."""
OUTCOME_COLUMNS = ("part", "file", "row", "fix", "verdict", "reason", "split", "duplicate_group")
"""What is settled of every row; other columns of the settled table are what `relate` added."""


def deduplicate_and_split(case: UseCase, light: DataFrame) -> DataFrame:
    """Where every row ends, for all rows at once: `verdict` (kept, quarantined, duplicate), `reason`, `split`, `duplicate_group`.

    Good rows are dealt into splits first. Of rows with an equal key the one in test, else in validation, else the first,
    is kept. A row that looks like one of a split before its own (see `SPLIT_PRIORITY`) would leak, and is quarantined.
    """
    light, good = apply_clean_table(case, light)
    added = [name for name in good.columns if name not in light.columns]
    duplicate_group = good["key"] if type(case).duplicate_group is UseCase.duplicate_group else case.duplicate_group(good)
    split = case.assign_split(good, duplicate_group)
    rank = split.map(SPLIT_PRIORITY)
    if rank.isna().any():
        expected = ", ".join([*SPLITS, CONTEXT_SPLIT])
        raise TypeError(
            f"assign_split of {type(case).__name__} returned {split[rank.isna()].iloc[0]!r}; expected one of {expected}"
        )
    order = good.index[np.lexsort((np.arange(len(good)), rank.to_numpy()))]
    first = _first_of(good["key"], order)
    twin = first != good.index.to_numpy()
    single = order[~twin[good.index.get_indexer(order)]]
    ahead = _first_of(duplicate_group, single)
    leak = ~twin & (rank.to_numpy() > rank.loc[ahead].to_numpy())
    where = (light["file"] + ":" + light["row"].astype(str)).to_numpy()
    reason = light["fault"].to_numpy(dtype=object, copy=True)
    verdict = np.where(light["fault"] == "", KEPT, QUARANTINED).astype(object)
    at = good.index.to_numpy()
    label_column = case.label_column(good)
    label = light[label_column].to_numpy(dtype=object) if label_column else None
    for row, original in zip(at[twin], first[twin], strict=True):
        other = f"{OTHER_LABEL}{label[original]!r}" if label is not None and label[row] != label[original] else ""
        verdict[row], reason[row] = DUPLICATE, f"duplicate of {where[original]}{other}"
    for row, original in zip(at[leak], ahead[leak], strict=True):
        verdict[row], reason[row] = QUARANTINED, f"leak: looks like {where[original]} of {split[original]}"
    kept = light.assign(verdict=verdict, reason=reason, split="", duplicate_group="")
    kept.loc[good.index, "split"], kept.loc[good.index, "duplicate_group"] = split, duplicate_group
    return kept[[*OUTCOME_COLUMNS, *([label_column] if label_column else [])]].join(good[added])


def apply_clean_table(case: UseCase, light: DataFrame) -> tuple[DataFrame, DataFrame]:
    """All rows, with the faults that show only beside others; and those without any, with what they know of others."""
    good = light[light["fault"] == ""]
    if type(case).clean_table is UseCase.clean_table:
        return light, good
    found = case.clean_table(good)
    assert found.index.equals(good.index), f"clean_table of {type(case).__name__} gave other rows than it was given"
    fault = found["fault"].reindex(light.index).fillna(light["fault"])
    fix = (light["fix"] + "; " + found["fix"].reindex(light.index).fillna("")).str.strip("; ")
    return light.assign(fault=fault, fix=fix), good.join(found.drop(columns=["fault", "fix"]))[found["fault"] == ""]


def _first_of(keys: Series, order: pd.Index) -> NDArray[np.int64]:
    """For each of `keys`, the index of the row with that key that comes first in `order`."""
    ordered = keys.loc[order]
    firsts = ordered[~ordered.duplicated()]
    found: NDArray[np.int64] = keys.map(pd.Series(firsts.index, index=firsts.to_numpy())).to_numpy()
    return found
