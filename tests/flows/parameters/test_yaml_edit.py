"""params.yaml is edited without touching the comments and the layout around a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.parameters import yaml_edit

HAND_WRITTEN = """# numbers
use_cases:
  toy: {training: {epochs: 3}}   # the toy
  twin:
    fetch: {}
    model:   # its network
      width: 3

# the recipes
recipes:
  half: [{halve: {times: 1}}]    # by two
  third: []
"""


@pytest.mark.parametrize(
    ("numbers", "before", "after"),
    [
        ({"use_cases.toy.training.epochs": 5}, "epochs: 3", "epochs: 5"),
        ({"use_cases.toy.training.learning_rate": 1e-5}, "epochs: 3", "epochs: 3, learning_rate: 1.0e-05"),
        ({"recipes.half.0.halve.times": 2}, "times: 1", "times: 2"),
        ({"use_cases.twin.fetch.limit": 9}, "fetch: {}", "fetch: {limit: 9}"),
        ({"use_cases.twin.model.flaw": "no: #"}, "width: 3\n", "width: 3\n      flaw: 'no: #'\n"),
        ({"use_cases.toy.training": {"seed": 1}}, "{epochs: 3}", "{seed: 1}"),
    ],
)
def test_values_are_set_without_touching_comments_and_layout(
    tmp_path: Path, numbers: dict[str, Any], before: str, after: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(HAND_WRITTEN)
    yaml_edit.set_values(path, numbers)
    assert path.read_text() == HAND_WRITTEN.replace(before, after)


def test_recipes_and_use_cases_are_added_and_removed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(HAND_WRITTEN)
    yaml_edit.replace_sections(path, {"use_cases": {"own": {"fetch": {}}}, "recipes": {"third": [], "fifth": [{"halve": {}}]}})
    expected = HAND_WRITTEN.replace("      width: 3\n", "      width: 3\n  own: {fetch: {}}\n")
    expected = expected.replace("  half: [{halve: {times: 1}}]    # by two\n", "") + "  fifth: [{halve: {}}]\n"
    assert path.read_text() == expected


@pytest.mark.parametrize("indent", ["", "  ", "    "])
def test_a_list_with_a_line_for_each_item_is_replaced_by_one_of_another_length(tmp_path: Path, indent: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        f"recipes:\n  half:   # by two\n  {indent}- halve: {{}}\n  {indent}- quantize:\n  {indent}    bits: 8\n  third: []\n"
    )
    yaml_edit.set_values(path, {"recipes.half": [{"halve": {"times": 2}}]})
    assert path.read_text() == f"recipes:\n  half:   # by two\n  {indent}  [{{halve: {{times: 2}}}}]\n  third: []\n"
