"""The data quality report: every row counted once, as kept, quarantined or duplicate, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.cleaning.corrections import EXCLUDED
from tasks.cleaning.deduplication import DUPLICATE, KEPT, LEAK, OTHER_LABEL, QUARANTINED, REPEAT, SPLIT_PRIORITY
from tasks.cleaning.rare_classes import RARE
from tasks.core.errors import UserError
from tasks.core.settings import Clean
from tasks.core.splits import SPLITS, UNLABELLED
from tasks.core.use_case import UseCase
from tasks.data.table_files import report_names

if TYPE_CHECKING:
    from pandas import DataFrame

REMARK_PREFIX = "seen "
"""An entry of `fix` with this prefix is a remark: it names something that was left as it is."""
UNLABELLED_COUNTS = {"kept": KEPT, "quarantined": QUARANTINED, "duplicates": DUPLICATE}
EXAMPLE_LENGTH = 200
"""Characters of an invalid value, or of a reason, that a message quotes."""


def build_quality_report(case: UseCase, outcomes: DataFrame) -> dict[str, Any]:
    """Counts of rows by outcome, reason, repair, remark, split, class and file: plain JSON values."""
    verdicts = outcomes["verdict"].value_counts()
    kept, rejected = outcomes[outcomes["verdict"] == KEPT], outcomes[outcomes["verdict"] != KEPT]
    groups = kept["duplicate_group"].value_counts()
    entries = [[entry for entry in fix.split("; ") if entry] for fix in kept["fix"]]
    repairs = [[entry for entry in row if not entry.startswith(REMARK_PREFIX)] for row in entries]
    remarks = [entry.removeprefix(REMARK_PREFIX) for row in entries for entry in row if entry.startswith(REMARK_PREFIX)]
    report: dict[str, Any] = {
        "rows_in": len(outcomes),
        "kept": len(kept),
        "fixed": sum(map(bool, repairs)),
        "quarantined": int(verdicts.get(QUARANTINED, 0)),
        "duplicates": int(verdicts.get(DUPLICATE, 0)),
        "reasons": _count_codes(rejected["reason"]),
        "fixes": _count_codes(repair for row in repairs for repair in row),
        "remarks": _count_codes(remarks),
        "leaks": _count_leaks(outcomes),
        "contradictions": int(rejected["reason"].str.contains(OTHER_LABEL, regex=False).sum()),
        "near_duplicates": {"groups": int((groups > 1).sum()), "rows": int(groups[groups > 1].sum())},
        "splits": {split: int((kept["split"] == split).sum()) for split in dict.fromkeys([*SPLITS, *sorted(set(kept["split"]))])},
        "classes": {},
        "files": _count_by_file(outcomes),
    }
    if outcomes["official_test"].any():
        report["official_test"] = _count_official_test(outcomes)
    if UNLABELLED in outcomes:
        unlabelled = outcomes.loc[outcomes[UNLABELLED], "verdict"].value_counts()
        report[UNLABELLED] = {"rows_in": int(unlabelled.sum())}
        report[UNLABELLED] |= {name: int(unlabelled.get(key, 0)) for name, key in UNLABELLED_COUNTS.items()}
    rare = outcomes[outcomes["reason"].str.startswith(RARE)]
    if len(rare) and (label_column := _label_column(case, outcomes)):
        report["rare_classes"] = {str(name): int(count) for name, count in rare[label_column].value_counts().sort_index().items()}
    if label_column := _label_column(case, outcomes):
        table = _classes_by_split(label_column, _labelled(kept))
        report["classes"] = {str(name): {split: int(row[split]) for split in SPLITS} for name, row in table.iterrows()}
    assert report["rows_in"] == report["kept"] + report["quarantined"] + report["duplicates"], report
    return report


def _count_official_test(outcomes: DataFrame) -> dict[str, int]:
    """Rows of a test split that the source names: how many there are, are kept, and repeat another one."""
    official = outcomes[outcomes["official_test"]]
    kept = official[official["verdict"] == KEPT]
    repeats = kept["fix"].str.contains(REPEAT, regex=False)
    return {"rows": len(official), "kept": len(kept), "repeats": int(repeats.sum())}


def _count_leaks(outcomes: DataFrame) -> dict[str, int]:
    """Rejected rows by the split, of higher priority than their own, in which an equal or near-duplicate row is kept."""
    valid = _labelled(outcomes[outcomes["split"] != ""])
    priority, kept = valid["split"].map(SPLIT_PRIORITY).astype(float), valid["verdict"] == KEPT
    kept_priority = priority[kept].groupby(valid["duplicate_group"]).min()
    ahead = valid.loc[~kept, "duplicate_group"].map(kept_priority).astype(float)
    leaks = ahead[ahead < priority[~kept]].map({value: split for split, value in SPLIT_PRIORITY.items()})
    return {str(split): int(count) for split, count in leaks.value_counts().sort_index().items()}


def _labelled(outcomes: DataFrame) -> DataFrame:
    """The outcomes without those of unlabelled rows."""
    return outcomes[~outcomes[UNLABELLED]] if UNLABELLED in outcomes else outcomes


def _label_column(case: UseCase, outcomes: DataFrame) -> str:
    """The label column of the use case's problem, or "" when these rows have none."""
    return case.problem.label_column if case.problem.label_column in outcomes else ""


def _classes_by_split(label_column: str, kept: DataFrame) -> DataFrame:
    """The number of kept rows of each class (row) in each split (column)."""
    return pd.crosstab(kept[label_column], kept["split"]).reindex(columns=list(SPLITS), fill_value=0)


def _count_by_file(outcomes: DataFrame) -> dict[str, dict[str, int]]:
    """Outcomes by file, or by folder when there are many files."""
    table = pd.crosstab(outcomes["file"].map(report_names(outcomes["file"])), outcomes["verdict"])
    table = table.reindex(columns=[KEPT, QUARANTINED, DUPLICATE], fill_value=0)
    return {
        str(name): {
            "rows_in": int(row.sum()),
            "kept": int(row[KEPT]),
            "quarantined": int(row[QUARANTINED]),
            "duplicates": int(row[DUPLICATE]),
        }
        for name, row in table.iterrows()
    }


def reason_code(reason: str) -> str:
    """The code a reason is counted under: the words before its colon."""
    return "duplicate" if reason.startswith("duplicate of ") else reason.partition(":")[0]


def check_reject_share(clean: Clean, outcomes: DataFrame, quarantine: Path) -> None:
    """Raise a `UserError` when more than `max_reject_share` of the labelled rows are quarantined for a fault.

    A leak is none, nor is a class with too few rows, nor a row that a person excluded.
    """
    outcomes = _labelled(outcomes)
    quarantined = outcomes[(outcomes["verdict"] == QUARANTINED) & ~outcomes["reason"].str.startswith((LEAK, RARE, EXCLUDED))]
    share = len(quarantined) / len(outcomes)
    if share > clean.max_reject_share:
        example = quarantined.iloc[0]
        top, count = Counter(reason_code(reason) for reason in quarantined["reason"]).most_common(1)[0]
        raise UserError(
            f"{len(quarantined):,} of {len(outcomes):,} rows ({share:.1%}) had to be quarantined, "
            f"{clean.max_reject_share:.1%} are allowed (clean.max_reject_share); {count:,} of them for {top}, "
            f"the first is {example['file']}:{example['row']} ({example['reason'][:EXAMPLE_LENGTH]}); "
            f"look at them in {_relative_to_working_folder(quarantine)}"
        )


def check_splits(case: UseCase, outcomes: DataFrame) -> None:
    """Raise a `UserError` when no row is left for training, validation or test."""
    labelled = _labelled(outcomes)
    kept = labelled[labelled["verdict"] == KEPT]
    empty = [split for split in SPLITS if not (kept["split"] == split).any()]
    if empty:
        lost = labelled[labelled["verdict"] != KEPT]
        top = Counter(reason_code(reason) for reason in lost["reason"]).most_common(1)
        why = ""
        if top:
            ((code, count),) = top
            example = lost[lost["reason"].map(reason_code) == code].iloc[0]
            place = f"{example['file']}:{example['row']}"
            why = f"; {count:,} are left out for {code}, the first is {place} ({example['reason'][:EXAMPLE_LENGTH]})"
        raise UserError(f"of {len(labelled):,} rows none is left for {', '.join(empty)}{why}")


def check_classes(case: UseCase, outcomes: DataFrame) -> None:
    """Raise a `UserError` when there is only one class, or a split lacks a class."""
    label_column = _label_column(case, outcomes)
    if not label_column:
        return
    kept = _labelled(outcomes[outcomes["verdict"] == KEPT])
    table = _classes_by_split(label_column, kept)
    if len(table) == 1:
        raise UserError(
            f"all {len(kept):,} clean rows have the {label_column} {table.index[0]!r}; a classifier needs two classes"
        )
    for name, row in table.sort_values("train").iterrows():
        if missing := [split for split in (SPLITS if case.clean.rare_classes != "keep" else ("train",)) if not row[split]]:
            total = int(row.sum())
            count = f"{total:,} clean row{'s' * (total != 1)}"
            more = "raise fetch.limit" if case.fetch.limit else "add rows of it"
            raise UserError(
                f"class {name!r} has {count}, none of them in {' or '.join(missing)}; every class "
                f"must be in all three splits: {more}, or set clean.rare_classes to drop, merge or keep"
            )


def _count_codes(reasons: Iterable[str]) -> dict[str, int]:
    """Number of reasons by code, the most frequent first, then by name."""
    return dict(sorted(Counter(map(reason_code, reasons)).items(), key=lambda item: (-item[1], item[0])))


def _relative_to_working_folder(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
