"""A value after --set is text as it is written where the setting is text, a list where it is a list, else YAML."""

from pathlib import Path
from typing import Any

import pytest

from flows.parameters.overrides import parse_overrides, setting_kinds
from tasks.core.errors import UserError

ROOT = Path(__file__).parents[3]


def test_override_values_are_parsed_as_in_params_yaml() -> None:
    assignments = ["a=3", "b=1e-3", "c=[1, 2]", "d=no", "e=", "f=x=y", "g=true"]
    expected = {"a": 3, "b": 0.001, "c": [1, 2], "d": "no", "e": "", "f": "x=y", "g": True}
    assert parse_overrides(assignments) == expected
    for wrong in ("a", "=3"):
        with pytest.raises(UserError, match="name=value"):
            parse_overrides([wrong])
    with pytest.raises(UserError, match="not a YAML value"):
        parse_overrides(["a=[1"])


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("fetch.path=photos #2", "photos #2"),
        ("fetch.label=#topic", "#topic"),
        ("fetch.label=topic ", "topic "),
        ("fetch.label=0", "0"),
        ("fetch.separator=|", "|"),
        ("fetch.separator=\\t", "\\t"),
        ("fetch.text=body: raw", "body: raw"),
        ("fetch.text=[a", "[a"),
        ("fetch.label='no'", "no"),
        ("use_cases.nlp.fetch.label=2023-01-16", "2023-01-16"),
        ("fetch.quotes=false", False),
        ("training.epochs=3", 3),
    ],
)
def test_the_words_after_the_sign_are_the_value_of_a_text(assignment: str, value: Any) -> None:
    kinds = setting_kinds(ROOT, ["nlp"])
    assert list(parse_overrides([assignment], kinds).values()) == [value]


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("fetch.ignore=id", ["id"]),
        ("fetch.ignore=[id, name]", ["id", "name"]),
        ("fetch.ignore=#1: [", ["#1: ["]),
        ("fetch.ignore=", []),
        ("clean.group_edges=30", [30]),
    ],
)
def test_one_word_for_a_list_is_a_list_of_one(assignment: str, value: Any) -> None:
    kinds = setting_kinds(ROOT, ["credit"])
    assert list(parse_overrides([assignment], kinds).values()) == [value]


def test_a_date_of_a_setting_of_text_stays_text() -> None:
    assert parse_overrides(["clean.test_from=2023-01-16"], setting_kinds(ROOT, ["finance"])) == {"clean.test_from": "2023-01-16"}
