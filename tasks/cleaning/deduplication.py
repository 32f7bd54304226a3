"""Duplicates, splits and leaks: the outcome of every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.cleaning import rare_classes
from tasks.core.splits import CONTEXT_SPLIT, SPLITS, UNLABELLED, official_test_rows
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series


LEAK = "leak: "
OTHER_LABEL = ", which is labelled "
REPEAT = "seen repeat in test"
"""The remark on a row of a test split of the source's own that equals an earlier one."""
KEPT, QUARANTINED, DUPLICATE = "kept", "quarantined", "duplicate"
SPLIT_PRIORITY = {"test": 0, "validation": 1, "train": 2, CONTEXT_SPLIT: 3, UNLABELLED: 4}
"""Of equal rows, the one in the first of these splits is kept; within a split, the first in row order."""
OUTCOME_COLUMNS = ("part", "file", "row", "fix", "verdict", "reason", "split", "duplicate_group", "official_test")
"""The columns of the outcome table. Its other columns are the label and those that `clean_table` added."""


def deduplicate_and_split(case: UseCase, light: DataFrame) -> DataFrame:
    """The outcome of every row: `verdict` (kept, quarantined, duplicate), `reason`, `split`, `duplicate_group`.

    `light` holds all rows of all partitions, without columns of bytes. Valid rows are assigned to splits first. Of rows
    with an equal key one is kept (see `SPLIT_PRIORITY`), the others are duplicates. A row whose duplicate group also has
    a row in a split of higher priority is a leak, and is quarantined; an unlabelled one is a duplicate: it has nothing to add.
    Of a test split that the source names every row is kept, unless `clean.official_test` says otherwise.
    """
    light, valid = apply_clean_table(case, light)
    added = [name for name in valid.columns if name not in light.columns]
    duplicate_group = valid["key"] if type(case).duplicate_group is UseCase.duplicate_group else case.duplicate_group(valid)
    split = assign_split(case, valid, duplicate_group)
    label_column = case.label_column(valid)
    if label_column:
        fixed = valid["subset"].isin(["validation", "test"]) if "subset" in valid else pd.Series(False, index=valid.index)
        split = rare_classes.spread(split, duplicate_group, valid[label_column], fixed)
    priority = split.map(SPLIT_PRIORITY)
    if priority.isna().any():
        expected = ", ".join([*SPLITS, CONTEXT_SPLIT])
        raise TypeError(
            f"assign_split of {type(case).__name__} returned {split[priority.isna()].iloc[0]!r}; expected one of {expected}"
        )
    order = valid.index[np.lexsort((np.arange(len(valid)), priority.to_numpy()))]
    original = _first_of(valid["key"], order)
    is_duplicate = original != valid.index.to_numpy()
    unique = order[~is_duplicate[valid.index.get_indexer(order)]]
    leader = _first_of(duplicate_group, unique)
    is_repeat = is_duplicate & official_test_rows(valid).to_numpy() & (case.clean.official_test == "all")
    is_duplicate &= ~is_repeat
    is_leak = ~is_duplicate & (priority.to_numpy() > priority.loc[leader].to_numpy())
    location = (light["file"] + ":" + light["row"].astype(str)).to_numpy()
    reason = light["fault"].to_numpy(dtype=object, copy=True)
    verdict = np.where(light["fault"] == "", KEPT, QUARANTINED).astype(object)
    index = valid.index.to_numpy()
    target_column = case.target_column(valid)
    label = light[target_column].to_numpy(dtype=object) if target_column else None
    for row, first in zip(index[is_duplicate], original[is_duplicate], strict=True):
        differs = label is not None and split[row] != UNLABELLED and label[row] != label[first]
        other = f"{OTHER_LABEL}{label[first]!r}" if label is not None and differs else ""
        verdict[row], reason[row] = DUPLICATE, f"duplicate of {location[first]}{other}"
    for row, first in zip(index[is_leak], leader[is_leak], strict=True):
        verdict[row], reason[row] = QUARANTINED, f"{LEAK}looks like {location[first]} of {split[first]}"
        if split[row] == UNLABELLED:
            verdict[row], reason[row] = DUPLICATE, f"duplicate of {location[first]}, which looks alike"
    fix = light["fix"].to_numpy(dtype=object, copy=True)
    for row, first in zip(index[is_repeat], original[is_repeat], strict=True):
        other = " with another label" if label is not None and label[row] != label[first] else ""
        fix[row] = "; ".join([*filter(None, [fix[row]]), f"{REPEAT}{other}: {location[first]}"])
    outcomes = light.assign(verdict=verdict, reason=reason, split="", duplicate_group="", fix=fix)
    outcomes["official_test"] = official_test_rows(light)
    outcomes.loc[valid.index, "split"], outcomes.loc[valid.index, "duplicate_group"] = split, duplicate_group
    kept_columns = [*OUTCOME_COLUMNS, *([label_column] if label_column else []), *([UNLABELLED] if UNLABELLED in light else [])]
    if label_column:
        is_kept = (outcomes["verdict"] == KEPT) & outcomes["split"].isin(SPLITS)
        outcomes = rare_classes.handle(case.clean, outcomes, label_column, is_kept)
    return outcomes[kept_columns].join(valid[added])


def assign_split(case: UseCase, valid: DataFrame, duplicate_group: Series) -> Series:
    """The split that the use case assigns to each labelled row; that of the others is `UNLABELLED`."""
    if UNLABELLED not in valid:
        return case.assign_split(valid, duplicate_group)
    labelled = valid[~valid[UNLABELLED]].drop(columns=UNLABELLED)
    return case.assign_split(labelled, duplicate_group.loc[labelled.index]).reindex(valid.index, fill_value=UNLABELLED)


def fault_outcomes(case: UseCase, light: DataFrame) -> DataFrame:
    """The outcome of every row by its own faults alone, in no split and without a look at duplicates."""
    light, valid = apply_clean_table(case, light)
    verdict = np.where(light["fault"] == "", KEPT, QUARANTINED)
    label = [name for name in [case.problem.label_column] if name and name in light]
    outcomes = light.assign(verdict=verdict, reason=light["fault"], split="", duplicate_group="")
    outcomes["official_test"] = official_test_rows(light)
    return outcomes[[*OUTCOME_COLUMNS, *label]].join(valid[[name for name in valid.columns if name not in light.columns]])


def apply_clean_table(case: UseCase, light: DataFrame) -> tuple[DataFrame, DataFrame]:
    """All rows with the errors that `clean_table` found, and the valid rows with the columns that it added."""
    valid = light[light["fault"] == ""]
    if type(case).clean_table is UseCase.clean_table:
        return light, valid
    checked = case.clean_table(valid)
    assert checked.index.equals(valid.index), f"clean_table of {type(case).__name__} must return a row for each of its rows"
    fault = checked["fault"].reindex(light.index).fillna(light["fault"])
    fix = (light["fix"] + "; " + checked["fix"].reindex(light.index).fillna("")).str.strip("; ")
    return light.assign(fault=fault, fix=fix), valid.join(checked.drop(columns=["fault", "fix"]))[checked["fault"] == ""]


def _first_of(keys: Series, order: pd.Index) -> NDArray[np.int64]:
    """For each of `keys`, the index of the row with that key that comes first in `order`."""
    ordered = keys.loc[order]
    firsts = ordered[~ordered.duplicated()]
    indices: NDArray[np.int64] = keys.map(pd.Series(firsts.index, index=firsts.to_numpy())).to_numpy()
    return indices
