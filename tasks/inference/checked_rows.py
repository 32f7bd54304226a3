"""Raw rows to predict, checked by the rules of the clean stage: the valid rows, and the rejected ones with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from tasks.cleaning import deduplication
from tasks.cleaning.partitions import schema_errors
from tasks.inference.schema_check import keeps_schema

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import UseCase

InputKind = Literal["picture", "text", "table"]


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Rows after validation."""

    rows: DataFrame
    """The valid rows, as `encode` takes them, with `file` and `row`."""
    rejected: DataFrame
    """Columns file, row, reason."""
    read: int


def input_kind(case: UseCase) -> InputKind:
    """The kind of input that the use case takes, by the columns of its schema."""
    columns = case.Schema.to_schema().columns
    return "picture" if "image" in columns else "text" if "text" in columns else "table"


def needs_other_rows(case: UseCase) -> bool:
    """Whether a row is only complete with others, such as a day with the days before it: all rows are checked together."""
    from tasks.core.use_case import UseCase

    return type(case).clean_table is not UseCase.clean_table


def check_rows(case: UseCase, raw: DataFrame) -> CheckedRows:
    """Validate and repair raw rows with the rules and the schema of the clean stage; their labels must be valid ones."""
    raw = raw.reset_index(drop=True)
    schema = case.schema(raw)
    columns = list(schema.columns)
    cleaned = case.clean_partition(raw).reset_index(drop=True)
    if list(cleaned.columns) != [*columns, "fault", "fix"]:
        cleaned = cleaned[[*columns, "fault", "fix"]]
    cleaned["file"], cleaned["row"] = raw["file"].to_numpy(), raw["row"].to_numpy()
    if not needs_other_rows(case) and not any(cleaned["fault"].tolist()) and keeps_schema(schema, cleaned):
        return CheckedRows(cleaned, _no_rejected_rows().copy(), len(raw))
    good = cleaned["fault"] == ""
    if good.any():
        faults = schema_errors(case, cleaned.loc[good, columns], schema)
        cleaned.loc[good, "fault"] = faults.reindex(cleaned.index[good]).fillna("")
    cleaned, rows = deduplication.apply_clean_table(case, cleaned)
    rejected = cleaned.loc[cleaned["fault"] != "", ["file", "row", "fault"]].rename(columns={"fault": "reason"})
    for computed in [column for column in rows.columns if column not in cleaned.columns and rows[column].dtype == object]:
        rows = rows[rows[computed].notna()]  # such as the window of a day without enough past
    return CheckedRows(rows.reset_index(drop=True), rejected.reset_index(drop=True), len(raw))


@cache
def _no_rejected_rows() -> DataFrame:
    import pandas as pd

    return pd.DataFrame({"file": [""], "row": [0], "reason": [""]}).head(0)
