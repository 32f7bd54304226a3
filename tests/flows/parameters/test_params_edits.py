"""Recipes and settings are edited in params.yaml: checked first, written as a whole, and undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.parameters import params_edits
from tasks.core.errors import UserError

TEXT = """# numbers
use_cases:
  vision:   # digits
    training: {epochs: 8, seed: 7}   # short
seeds: []
# how to compress
recipes:
  dense: []
  int8: [{quantize: {}}]   # bytes
  pruned-int8: [{prune: {ratio: 0.5}}, {quantize: {}}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(TEXT)
    return tmp_path


def recipes(root: Path) -> Any:
    return yaml.safe_load((root / "params.yaml").read_text())["recipes"]


def test_a_recipe_is_added_and_nothing_else_changes(root: Path) -> None:
    edit = params_edits.with_recipe(root, "tiny", [{"distill": {"width_share": 0.25}}, {"quantize": {}}])
    assert (root / "params.yaml").read_text() == TEXT, "an edit is not written before it is asked for"
    assert edit.diff().splitlines()[-1] == "+  tiny: [{distill: {width_share: 0.25}}, {quantize: {}}]"
    params_edits.write(root, edit)
    added = "  tiny: [{distill: {width_share: 0.25}}, {quantize: {}}]\n"
    assert (root / "params.yaml").read_text() == TEXT + added
    params_edits.write(root, edit.undone())
    assert (root / "params.yaml").read_text() == TEXT


def test_a_recipe_is_edited_renamed_and_removed(root: Path) -> None:
    steps = [{"prune": {"ratio": 0.25}}, {"quantize": {}}]
    before = [{"prune": {"ratio": 0.5}}, {"quantize": {}}]
    params_edits.write(root, params_edits.with_recipe(root, "pruned-int8", steps, replaces="pruned-int8", opened=before))
    assert recipes(root)["pruned-int8"] == steps
    assert "# bytes" in (root / "params.yaml").read_text()
    params_edits.write(root, params_edits.with_recipe(root, "quarter", steps, replaces="pruned-int8"))
    assert list(recipes(root)) == ["dense", "int8", "quarter"]
    params_edits.write(root, params_edits.without_recipe(root, "int8"))
    assert recipes(root) == {"dense": [], "quarter": steps}


@pytest.mark.parametrize(
    ("name", "steps", "reason"),
    [
        ("int8", [{"quantize": {}}], "there is a recipe 'int8' already"),
        ("dense", [{"quantize": {}}], "take another name"),
        ("a.b", [{"quantize": {}}], "take a name without one"),
        ("a b", [{"quantize": {}}], "is no name of a recipe"),
        ("seeds", [{"quantize": {}}], "no recipe can be named 'seeds'"),
        ("empty", [], "a recipe without steps is 'dense'"),
        ("late", [{"quantize": {}}, {"prune": {}}], "put it before steps that change its format"),
        ("much", [{"prune": {"ratio": 2}}], "recipes.much.0.prune.ratio: should be less than 1, got 2"),
        ("typo", [{"prune": {"ratoi": 0.5}}], "did you mean 'ratio'"),
        ("other", [{"prun": {}}], "did you mean 'prune'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(root: Path, name: str, steps: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        params_edits.with_recipe(root, name, steps)
    assert (root / "params.yaml").read_text() == TEXT


def test_the_dense_recipe_and_an_unknown_one_are_not_removed(root: Path) -> None:
    with pytest.raises(UserError, match="it stays"):
        params_edits.without_recipe(root, "dense")
    with pytest.raises(UserError, match="did you mean 'int8'"):
        params_edits.without_recipe(root, "int9")


def test_a_file_that_changed_meanwhile_is_not_written_over(root: Path) -> None:
    edit = params_edits.with_recipe(root, "tiny", [{"cast": {}}])
    (root / "params.yaml").write_text(TEXT.replace("epochs: 8", "epochs: 9"))
    with pytest.raises(UserError, match=r"params\.yaml has changed meanwhile"):
        params_edits.write(root, edit)
    with pytest.raises(UserError, match="has changed since it was opened"):
        params_edits.with_recipe(root, "int8", [{"cast": {}}], replaces="int8", opened=[{"quantize": {"max_drop": 0.1}}])
    assert "tiny" not in recipes(root)


def test_settings_of_a_use_case_are_set_where_they_stand(root: Path) -> None:
    edit = params_edits.with_settings(root, "vision", {"training.learning_rate": 0.002, "training.epochs": 3})
    params_edits.write(root, edit)
    line = "training: {epochs: 3, seed: 7, learning_rate: 0.002}   # short"
    assert line in (root / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"training.epochs": 0}, "epochs"), ({"training.epohcs": 3}, "did you mean 'epochs'"), ({"training": 3}, "training")],
)
def test_a_wrong_setting_is_refused(root: Path, settings: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        params_edits.with_settings(root, "vision", settings)
    assert (root / "params.yaml").read_text() == TEXT
