"""A use case for tests: amounts with a label, from a table that the test gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pandera.pandas as pa
from pandas import DataFrame

from tasks.core.problem import Problem
from tasks.core.settings import Clean, Contract, Fetch, Training
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table
from tasks.core.use_case import UseCase
from tasks.problems.regression import Regression
from tasks.stages import clean, fetch


class AmountSchema(pa.DataFrameModel):
    label: str = pa.Field(isin=["a", "b"])
    amount: float = pa.Field(ge=0, lt=100)


class LabelledAmounts(UseCase):
    """Accepts every row in `clean_partition`, so that invalid values are left to the schema."""

    fetch, clean, contract, training = Fetch(partition_rows=4), Clean(max_reject_share=1), Contract(), Training()
    augment: Any = None
    model: Any = None
    Schema, unique_key = AmountSchema, ("label", "amount")
    problem: ClassVar[Problem] = Regression()

    def __init__(self, table: DataFrame | None) -> None:
        self.table = table

    def load(self) -> Iterator[DataFrame]:
        assert self.table is not None
        yield self.table.assign(file="amounts.csv", row=range(2, len(self.table) + 2))

    def clean_partition(self, rows: DataFrame) -> DataFrame:
        return rows[["label", "amount"]].assign(fault="", fix="")

    encode: Any = None
    build_model: Any = None


def fetch_and_clean(context: StageContext) -> tuple[dict[str, Any], DataFrame, DataFrame]:
    """The data quality report, the clean rows and the quarantined rows of a use case."""
    fetch.main(context)
    clean.main(context)
    return (
        context.clean.json("ledger.json"),
        Table(context.clean.path / "rows").read(),
        Table(context.clean.path / "quarantine").read(),
    )
