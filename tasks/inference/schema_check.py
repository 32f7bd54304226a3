"""Whether rows keep a schema, decided without pandera where that is certain: pandera takes milliseconds for a single row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from pandera.api.pandas.components import Column
    from pandera.pandas import Check, DataFrameSchema

TEXTS = ("str", "string[pyarrow]", "string[python]")
"""How pandera names the type of texts."""


def keeps_schema(schema: DataFrameSchema, rows: DataFrame) -> bool:
    """Whether pandera would find all rows valid, at least one. False also where only pandera can tell, as of an own check."""
    if schema.checks or schema.parsers or schema.index is not None or schema.strict or schema.unique or schema.coerce:
        return False
    return all(name in rows and _keeps(column, rows[name]) for name, column in schema.columns.items())


def _keeps(column: Column, values: Series) -> bool:
    """Whether all values of a column are certainly valid: of its type, none missing where one must not be, all checks hold."""
    if column.unique or column.regex or column.coerce or column.parsers:
        return False
    expected, actual = str(column.dtype), str(values.dtype)
    missing = values.hasnans
    if missing and not (column.nullable and expected == actual == "float64"):
        return False
    present = values.dropna().tolist() if missing else values.tolist()
    if expected in TEXTS:
        has_type = actual == "str" or (actual == "object" and all(isinstance(value, str) for value in present))
    else:
        has_type = expected == actual == "float64" or (expected == actual == "object" and not column.checks)
    checks = [_value_check(check) for check in column.checks]
    return has_type and all(is_valid is not None and all(map(is_valid, present)) for is_valid in checks)


def _value_check(check: Check) -> Callable[[Any], bool] | None:
    """A check of a column as one of a single value; None for one that is not known here."""
    from pandera.api.function_dispatch import Dispatcher

    if check.groupby is not None or not isinstance(check._check_fn, Dispatcher):  # a function of one's own
        return None
    limits = check.statistics or {}
    match check.name:
        case "str_length":
            least, most, exact = (limits.get(name) for name in ("min_value", "max_value", "exact_value"))
            if exact is not None:
                return lambda text: len(text) == exact
            return lambda text: (least or 0) <= len(text) and (most is None or len(text) <= most)
        case "isin":
            return lambda value: value in limits["allowed_values"]
        case "greater_than":
            return lambda value: bool(value > limits["min_value"])
        case "greater_than_or_equal_to":
            return lambda value: bool(value >= limits["min_value"])
        case "less_than_or_equal_to":
            return lambda value: bool(value <= limits["max_value"])
        case _:
            return None
