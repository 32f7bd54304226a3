"""Where every row ends: kept, quarantined or dropped as a duplicate; counted once each, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.cleaning.deduplication import DUPLICATE, KEPT, OTHER_LABEL, QUARANTINED, SPLIT_PRIORITY
from tasks.core.errors import UserError
from tasks.core.settings import Clean
from tasks.core.splits import SPLITS
from tasks.core.use_case import UseCase
from tasks.data.table_files import report_names

if TYPE_CHECKING:
    from pandas import DataFrame
REMARK_PREFIX = "seen "
"""A fix that begins so mended nothing: it says what was found and left as it is."""
EXAMPLE_LENGTH = 200


def build_quality_report(case: UseCase, settled: DataFrame) -> dict[str, Any]:
    """The ledger: every row counted once, by where it ended and why."""
    verdicts = settled["verdict"].value_counts()
    kept, rejected = settled[settled["verdict"] == KEPT], settled[settled["verdict"] != KEPT]
    groups = kept["duplicate_group"].value_counts()
    said = [[fix for fix in fixes.split("; ") if fix] for fixes in kept["fix"]]
    ledger: dict[str, Any] = {
        "rows_in": len(settled),
        "kept": len(kept),
        "fixed": sum(any(not fix.startswith(REMARK_PREFIX) for fix in fixes) for fixes in said),
        "quarantined": int(verdicts.get(QUARANTINED, 0)),
        "duplicates": int(verdicts.get(DUPLICATE, 0)),
        "reasons": _counted(reason_code(reason) for reason in rejected["reason"]),
        "fixes": _counted(reason_code(fix) for fixes in said for fix in fixes if not fix.startswith(REMARK_PREFIX)),
        "remarks": _counted(
            reason_code(fix.removeprefix(REMARK_PREFIX)) for fixes in said for fix in fixes if fix.startswith(REMARK_PREFIX)
        ),
        "leaks": _leaks(settled),
        "contradictions": int(rejected["reason"].str.contains(OTHER_LABEL, regex=False).sum()),
        "near_duplicates": {"groups": int((groups > 1).sum()), "rows": int(groups[groups > 1].sum())},
        "splits": {split: int((kept["split"] == split).sum()) for split in dict.fromkeys([*SPLITS, *sorted(set(kept["split"]))])},
        "classes": {},
        "files": _by_file(settled),
    }
    if label_column := _label_column(case, settled):
        table = _classes_by_split(label_column, kept)
        ledger["classes"] = {str(name): {split: int(row[split]) for split in SPLITS} for name, row in table.iterrows()}
    assert ledger["rows_in"] == ledger["kept"] + ledger["quarantined"] + ledger["duplicates"], ledger
    return ledger


def _leaks(settled: DataFrame) -> dict[str, int]:
    """Rows left out because a row that is alike, or equal, stands in the split named, which comes before their own."""
    good = settled[settled["split"] != ""]
    rank, kept = good["split"].map(SPLIT_PRIORITY).astype(float), good["verdict"] == KEPT
    ahead = good.loc[~kept, "duplicate_group"].map(rank[kept].groupby(good["duplicate_group"]).min()).astype(float)
    crossing = ahead[ahead < rank[~kept]].map({place: split for split, place in SPLIT_PRIORITY.items()})
    return {str(split): int(count) for split, count in crossing.value_counts().sort_index().items()}


def _label_column(case: UseCase, settled: DataFrame) -> str:
    """The column of the classes, which is kept beside the verdicts where there are any."""
    return case.problem.label_column if case.problem.label_column in settled else ""


def _classes_by_split(label_column: str, kept: DataFrame) -> DataFrame:
    return pd.crosstab(kept[label_column], kept["split"]).reindex(columns=list(SPLITS), fill_value=0)


def _by_file(settled: DataFrame) -> dict[str, dict[str, int]]:
    """What became of the rows of each file; of each folder when there are many files."""
    ended = pd.crosstab(settled["file"].map(report_names(settled["file"])), settled["verdict"])
    ended = ended.reindex(columns=[KEPT, QUARANTINED, DUPLICATE], fill_value=0)
    return {
        str(name): {
            "rows_in": int(row.sum()),
            "kept": int(row[KEPT]),
            "quarantined": int(row[QUARANTINED]),
            "duplicates": int(row[DUPLICATE]),
        }
        for name, row in ended.iterrows()
    }


def reason_code(reason: str) -> str:
    """What a reason is counted under: the words before its colon."""
    return "duplicate" if reason.startswith("duplicate of ") else reason.partition(":")[0]


def check_reject_share(clean: Clean, settled: DataFrame, quarantine: Path) -> None:
    """Stop when more than `max_reject_share` of the rows had to be quarantined."""
    bad = settled[settled["verdict"] == QUARANTINED]
    share = len(bad) / len(settled)
    if share > clean.max_reject_share:
        (top, count), example = Counter(reason_code(reason) for reason in bad["reason"]).most_common(1)[0], bad.iloc[0]
        raise UserError(
            f"{len(bad):,} of {len(settled):,} rows ({share:.1%}) had to be quarantined, {clean.max_reject_share:.1%} are borne "
            f"(clean.max_reject_share); {count:,} of them for {top}, the first is {example['file']}:{example['row']} "
            f"({example['reason'][:EXAMPLE_LENGTH]}); look at them in {_near(quarantine)}"
        )


def check_classes(case: UseCase, settled: DataFrame) -> None:
    """Stop when a class is missing in a split, or there is but one: nothing could be learnt of it, or nothing measured."""
    label_column = _label_column(case, settled)
    if not label_column:
        return
    kept = settled[settled["verdict"] == KEPT]
    table = _classes_by_split(label_column, kept)
    if len(table) == 1:
        raise UserError(
            f"all {len(kept):,} clean rows have the {label_column} {table.index[0]!r}; a classifier needs two classes"
        )
    for name, row in table.sort_values("train").iterrows():
        if missing := [split for split in SPLITS if not row[split]]:
            total = int(row.sum())
            count = f"{total:,} clean row{'s' * (total != 1)}"
            more = "raise fetch.limit" if case.fetch.limit else "add rows of it"
            raise UserError(
                f"class {name!r} has {count}, none of them in {' or '.join(missing)}; every class "
                f"must be in all three splits: {more}, leave it out, or raise validation_share or test_share"
            )


def _counted(codes: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(codes).items(), key=lambda item: (-item[1], item[0])))


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
