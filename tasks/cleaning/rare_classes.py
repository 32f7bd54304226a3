"""Classes with a few rows: each split gets some of them if there are enough, else they are dropped, merged or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.core.splits import SPLITS, hash_fractions

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from tasks.core.settings import Clean

RARE = "rare-class: "
OTHER = "other"
"""The label of merged rare classes."""


def spread(split: Series, duplicate_group: Series, label: Series, fixed: Series) -> Series:
    """The splits (N,), with groups of a class moved to a split that has none of it, if another split can spare one.

    Rows of a group stay together, also where their labels differ: such a group is moved only if each of its classes can spare
    it, and after groups of one class. A row is `fixed` where its source names its split; a split that the source names gets no
    other row. A row that looks like one of such a split will be left out, and counts for nothing. A group moves by the hash of
    its key, never by its place.
    """
    rows = pd.DataFrame({"group": duplicate_group, "split": split, "label": label, "fixed": fixed})[split.isin(SPLITS)]
    order = rows["split"].map({"test": 0, "validation": 1, "train": 2})
    rows = rows[order == order.groupby(rows["group"]).transform("min")]
    held = rows[["group", "label"]].drop_duplicates()
    groups = rows.groupby("group").agg({"split": "first", "fixed": "any"})
    split_of_group, fixed_group = groups["split"].copy(), groups["fixed"]
    official = set(split[fixed])
    counts = pd.crosstab(held["label"], held["group"].map(split_of_group)).reindex(columns=list(SPLITS), fill_value=0)
    rare = counts.index[(counts == 0).any(axis=1)]
    if not len(rare):
        return split
    classes_of_group = held.groupby("group")["label"].agg(list)
    for name in rare:
        own = held.loc[held["label"] == name, "group"]
        movable = own[~own.map(fixed_group)]
        numbers = movable.map(classes_of_group.map(len)).to_numpy()
        movable = movable.iloc[np.lexsort((hash_fractions(movable.astype(str)), numbers))]
        for lacking in ("train", "test", "validation"):
            if counts.at[name, lacking] or lacking in official:
                continue
            spare = (key for key in movable if (counts.loc[classes_of_group[key], split_of_group[key]] > 1).all())
            if (key := next(spare, None)) is not None:
                counts.loc[classes_of_group[key], split_of_group[key]] -= 1
                counts.loc[classes_of_group[key], lacking] += 1
                split_of_group[key] = lacking
    is_free = split.isin(SPLITS) & ~duplicate_group.isin(fixed_group.index[fixed_group])
    return split.mask(is_free, duplicate_group.map(split_of_group)).astype(object)


def handle(clean: Clean, outcomes: DataFrame, label_column: str, is_kept: Series) -> DataFrame:
    """The outcomes with classes that a split lacks dropped, merged into `OTHER`, or kept, as `clean.rare_classes` says.

    A class without a train row is dropped in any case: no model can name it.
    """
    rare = _lacking(outcomes, label_column, is_kept, SPLITS)
    if clean.rare_classes == "refuse" or not rare:
        return outcomes
    if clean.rare_classes == "merge" and len(rare) > 1:
        label = outcomes[label_column].where(~outcomes[label_column].isin(rare), OTHER)
        split = outcomes["split"].copy()
        kept = outcomes[is_kept]
        split[is_kept] = spread(kept["split"], kept["duplicate_group"], label[is_kept], kept["official_test"])
        outcomes = outcomes.assign(**{label_column: label}, split=split)
        rare = _lacking(outcomes, label_column, is_kept, SPLITS)
    if clean.rare_classes == "keep":
        rare = _lacking(outcomes, label_column, is_kept, ("train",))
    dropped = is_kept & outcomes[label_column].isin(rare)
    counts = outcomes.loc[dropped, label_column].value_counts()
    reasons = {
        name: f"{RARE}{name!r} has {count} row{'s' * (count != 1)}, too few for every split" for name, count in counts.items()
    }
    return outcomes.assign(
        verdict=outcomes["verdict"].mask(dropped, "quarantined"),
        reason=outcomes["reason"].mask(dropped, outcomes[label_column].map(reasons)),
    )


def _lacking(outcomes: DataFrame, label_column: str, is_kept: Series, splits: tuple[str, ...]) -> list[str]:
    """The classes of kept rows that one of the splits lacks."""
    kept = outcomes[is_kept]
    table = pd.crosstab(kept[label_column], kept["split"]).reindex(columns=list(splits), fill_value=0)
    return [str(name) for name in table.index[(table == 0).any(axis=1)]]
