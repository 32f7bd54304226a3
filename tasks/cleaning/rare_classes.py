"""Classes with a few rows: each split gets some of them if there are enough, else they are dropped, merged or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    Rows of a group stay together. A row is `fixed` where its source names its split; a split that the source names gets no
    other row. A group moves by the hash of its key, never by its place.
    """
    groups = pd.DataFrame({"split": split, "label": label, "fixed": fixed}).groupby(duplicate_group.to_numpy())
    table = groups.agg({"split": "first", "label": "first", "fixed": "any"})
    official = set(split[fixed])
    counts = pd.crosstab(table["label"], table["split"]).reindex(columns=list(SPLITS), fill_value=0)
    for name in counts.index[(counts == 0).any(axis=1)]:
        own = table[table["label"] == name]
        movable = own[~own["fixed"] & own["split"].isin(SPLITS)]
        movable = movable.iloc[hash_fractions(pd.Series(movable.index, dtype=object)).argsort(kind="stable")]
        present = own["split"].value_counts().reindex(list(SPLITS), fill_value=0)
        for lacking in ("train", "test", "validation"):
            if present[lacking] or lacking in official:
                continue
            spare = [key for key in movable.index if present[table.at[key, "split"]] > 1]
            if spare:
                present[table.at[spare[0], "split"]] -= 1
                table.at[spare[0], "split"] = lacking
                present[lacking] += 1
    moved = pd.Series(table["split"].reindex(duplicate_group.to_numpy()).to_numpy(), index=split.index, dtype=object)
    return split.where(fixed | ~split.isin(SPLITS), moved)


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
