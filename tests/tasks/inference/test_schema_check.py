"""The quick look at a schema: never valid where pandera finds an error, and a decision for the rows of every use case."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.errors import SchemaErrors

from tasks.inference import checked_rows
from tasks.inference.schema_check import keeps_schema
from tests.support import dashboard_scenarios
from tests.tasks.inference.test_released_model import inputs_of

CHECKS = [
    pa.Check.str_length(3),
    pa.Check.str_length(min_value=1),
    pa.Check.str_length(max_value=2),
    pa.Check.str_length(min_value=1, max_value=3),
    pa.Check.isin(["", "ab", "abc"]),
    pa.Check.str_startswith("a"),
]
LIMITS = [
    *(pa.Check.gt(0), pa.Check.ge(0), pa.Check.le(1), pa.Check.lt(1), pa.Check.in_range(-1, 1), pa.Check.isin([0.0, 0.5])),
    pa.Check(lambda values: values > 0),
    pa.Check(lambda value: value > 0, element_wise=True),
]
VALUES: list[Any] = ["", "a", "ab", "abc", "Grüße", "\U0001f600", None, float("nan"), 0, 0.5, 1.0, -2.0, float("inf"), b"ab", 7]


def is_valid(schema: pa.DataFrameSchema, rows: pd.DataFrame) -> bool:
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors:
        return False
    return True


def drawn_column(draw: random.Random) -> tuple[pa.Column, pd.Series]:
    """A column of a schema, and values that often suit it."""
    kind = draw.choice(["text", "number", "any"])
    nullable = draw.random() < 0.3
    own: list[Any]
    if kind == "text":
        checks, own = draw.sample(CHECKS, draw.randint(0, 2)), ["", "a", "ab", "abc", "Grüße"]
        column = pa.Column(str, checks, nullable=nullable, unique=draw.random() < 0.1)
    elif kind == "number":
        checks, own = draw.sample(LIMITS, draw.randint(0, 2)), [0.0, 0.5, 1.0, 0.25, float("nan")]
        column = pa.Column(float, checks, nullable=nullable)
    else:
        column, own = pa.Column(object, nullable=nullable), [b"ab", b"", None]
    values = draw.choices(VALUES if draw.random() < 0.2 else own, k=draw.randint(1, 3))
    return column, pd.Series(values, dtype=draw.choice([None, object]))


def test_what_the_quick_look_calls_valid_is_valid_for_pandera_too() -> None:
    draw, decided = random.Random(7), 0
    for _ in range(1500):
        column, values = drawn_column(draw)
        schema, rows = pa.DataFrameSchema({"x": column}), pd.DataFrame({"x": values})
        if keeps_schema(schema, rows):
            decided += 1
            assert is_valid(schema, rows), (column, values)
    assert decided > 300


@pytest.mark.parametrize("name", ["vision", "nlp", "credit"])
def test_good_inputs_of_a_use_case_need_no_pandera(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_rows, "schema_errors", pytest.fail)
    scene = dashboard_scenarios.of(name)
    inputs = inputs_of(name, scene.split("test").head(5))
    checked = checked_rows.check_rows(scene.case, scene.case.unlabelled_rows(inputs, scene.state))
    assert (len(checked.rows), len(checked.rejected), checked.read) == (5, 0, 5)
    assert not keeps_schema(scene.case.schema(checked.rows), checked.rows.assign(label="x" * 101))
    assert not keeps_schema(scene.case.schema(checked.rows), checked.rows.drop(columns="label"))


@pytest.mark.parametrize(
    "schema",
    [
        pa.DataFrameSchema({"x": pa.Column(str)}, checks=pa.Check(lambda rows: rows["x"] != "")),
        pa.DataFrameSchema({"x": pa.Column(str)}, strict=True),
        pa.DataFrameSchema({"x": pa.Column(str, coerce=True)}),
        pa.DataFrameSchema({"x": pa.Column(str)}, unique=["x"]),
        pa.DataFrameSchema({"x": pa.Column(int)}),
    ],
)
def test_what_only_pandera_can_tell_is_left_to_it(schema: pa.DataFrameSchema) -> None:
    assert not keeps_schema(schema, pd.DataFrame({"x": ["a"]}))
