"""Credit data sets by name: their files, the meaning of their columns and codes, and their known errors.

No package ships such a file. Each is downloaded once, or read from the folder that `BONSAI_DATASETS` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.core.errors import UserError
from tasks.data.downloads import download
from tasks.use_cases.credit.column_types import parse_numbers

if TYPE_CHECKING:
    from pandas import DataFrame, Series

KnownError = tuple["Series", str, Any, str]
"""A mask of rows, the column, the value that replaces the cells (None: unchanged), and the remark about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditDataset:
    """A credit data set by name."""

    copies: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Copies of the same table as (name, sha256, mirrors), in the order in which they are tried."""
    label: str
    event: str
    """The label of a default."""
    groups: tuple[str, ...]
    separator: str = ","
    names: tuple[str, ...] = ()
    """The columns of a file without a header."""
    ignored: tuple[str, ...] = ()
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The meanings of the codes in the columns of `groups`."""
    known_errors: Callable[[DataFrame], Iterator[KnownError]] = lambda rows: iter(())


def dataset_path(dataset: CreditDataset) -> Path:
    """The path of the first available copy. Raises `UserError` when none is."""
    errors = []
    for name, sha256, mirrors in dataset.copies:
        try:
            return download(tuple(mirror + name.rpartition("/")[2] for mirror in mirrors), sha256, name)
        except UserError as error:
            errors.append(str(error))
    raise UserError("; or ".join(errors))


def taiwan_errors(rows: DataFrame) -> Iterator[KnownError]:
    """Undocumented codes, and bills that are negative or above the limit (I-Cheng Yeh 2016)."""
    for name, allowed, replacement in (("EDUCATION", (1, 2, 3, 4), 4), ("MARRIAGE", (1, 2, 3), 3)):
        if name in rows:
            number = parse_numbers(rows[name])[0]
            yield number.notna() & ~number.isin(allowed), name, replacement, f"undocumented {name}"
    for name in rows.columns:
        if name.startswith("PAY_") and not name.startswith("PAY_AMT"):
            yield parse_numbers(rows[name])[0].isin([-2, 0]), name, None, f"seen undocumented {name}"
        if name.startswith("BILL_AMT"):
            yield parse_numbers(rows[name])[0] < 0, name, None, f"seen negative {name}"
    if {"BILL_AMT1", "LIMIT_BAL"} <= set(rows.columns):
        above_limit = parse_numbers(rows["BILL_AMT1"])[0] > parse_numbers(rows["LIMIT_BAL"])[0]
        yield above_limit, "BILL_AMT1", None, "seen bill above the limit"


GERMAN_COLUMNS = (
    "checking_status duration_months credit_history purpose credit_amount savings employment_since instalment_rate "
    "personal_status other_debtors residence_since property age other_plans housing existing_credits job dependants "
    "telephone foreign_worker risk"
)
FEMALE, MALE = "female", "male"
DATASETS = {
    "taiwan": CreditDataset(
        copies=(
            (
                "credit/UCI_Credit_Card.csv.gz",
                "3b1c8e69fc71fb19229d8d3dedeeaf70012b7706bee03b534a33a6ba32a78394",
                (),
            ),
            (
                "credit/UCI_Credit_Card_1.csv",
                "a0f0ab49d6326671d6cd83be5c88dcf18007025fe9a53ecd699119c871176ca1",
                ("https://raw.githubusercontent.com/Trololo37/proyecto_k-means/0f56103a12c3/data/",),
            ),
        ),
        label="default.payment.next.month",
        event="1",
        groups=("SEX", "AGE"),
        ignored=("ID",),
        meanings={"SEX": {"1": MALE, "2": FEMALE}},
        known_errors=taiwan_errors,
    ),
    "german": CreditDataset(
        copies=(
            (
                "credit/german.data",
                "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
                ("https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/",),
            ),
        ),
        label="risk",
        event="2",
        groups=("personal_status", "age"),
        separator=" ",
        names=tuple(GERMAN_COLUMNS.split()),
        meanings={"personal_status": {"A91": MALE, "A92": FEMALE, "A93": MALE, "A94": MALE, "A95": FEMALE}},
    ),
}
"""`taiwan`: default of credit card clients, 30,000 in Taiwan in 2005 (UCI, CC BY 4.0); `german`: Statlog German credit,
1,000 loans (UCI, CC BY 4.0)."""


def repair_known_errors(dataset: CreditDataset | None, rows: DataFrame) -> tuple[DataFrame, Series]:
    """The rows with the data set's known errors repaired, and the remarks about each row, joined by "; "."""
    remarks = pd.Series("", index=rows.index, dtype=object)
    repaired = rows.copy()
    for mask, name, replacement, words in dataset.known_errors(rows) if dataset else ():
        remark = words + (": " + rows.loc[mask, name].astype(str) + f" to {replacement}" if replacement is not None else "")
        remarks[mask] = remarks[mask] + "; " + remark
        if replacement is not None:
            repaired[name] = repaired[name].mask(mask, str(replacement))
    return repaired, remarks.str.removeprefix("; ")
