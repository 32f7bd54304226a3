"""A wrong name, type or number in params.yaml is refused in one line that suggests the nearest valid one."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core import params_file
from tasks.core.errors import UserError


@pytest.fixture
def params() -> Any:
    return params_file.parse_params(
        {
            "use_cases": {"vision": {"training": {"seed": 7}}},
            "recipes": {"dense": [], "int8": [{"quantize": {}}], "pruned-int8": [{"prune": {"ratio": 0.5}}, {"quantize": {}}]},
        }
    )


def user_error(function: Any) -> str:
    with pytest.raises(UserError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mistyped_use_case_gets_a_suggestion(params: Any) -> None:
    assert "did you mean 'vision'?" in user_error(lambda: params_file.build_use_case("visoin", params))


def test_a_mistyped_recipe_gets_a_suggestion(params: Any) -> None:
    assert "did you mean 'int8'?" in user_error(lambda: params_file.build_recipe("int", params))


def test_a_mistyped_section_gets_a_suggestion(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"trainig.epochs": 3}, "vision")
    message = user_error(lambda: params_file.build_use_case("vision", wrong))
    assert message == "params.yaml: use_cases.vision has no 'trainig'; did you mean 'training'?"


def test_a_mistyped_parameter_gets_a_suggestion(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"training.epoch": 3}, "vision")
    message = user_error(lambda: params_file.build_use_case("vision", wrong))
    assert message == "params.yaml: use_cases.vision.training has no 'epoch'; did you mean 'epochs'?"


def test_a_number_out_of_range_is_named_with_its_bound(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"training.epochs": 0}, "vision")
    message = user_error(lambda: params_file.build_use_case("vision", wrong))
    assert message == "params.yaml: use_cases.vision.training.epochs: should be greater than or equal to 1, got 0"


def test_a_wrong_type_is_named(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"training.epochs": "many"}, "vision")
    assert "use_cases.vision.training.epochs" in user_error(lambda: params_file.build_use_case("vision", wrong))


def test_all_errors_are_named_at_once(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"training.epochs": 0, "training.sed": 1}, "vision")
    message = user_error(lambda: params_file.build_use_case("vision", wrong))
    assert "epochs" in message
    assert "did you mean 'seed'?" in message


def test_a_step_of_a_recipe_is_checked_like_a_use_case(params: Any) -> None:
    wrong = params_file.apply_overrides(params, {"recipes.pruned-int8.0.prune.ratio": 30})
    assert "params.yaml: recipes.pruned-int8.0.prune.ratio" in user_error(lambda: params_file.build_recipe("pruned-int8", wrong))


def test_a_step_that_changes_the_network_comes_before_one_that_changes_its_format(params: Any) -> None:
    wrong = params_file.parse_params({**params.as_dict(), "recipes": {"odd": [{"quantize": {}}, {"prune": {}}]}})
    assert "put it before" in user_error(lambda: params_file.build_recipe("odd", wrong))


def test_an_override_leaves_the_original_as_it_was(params: Any) -> None:
    changed = params_file.apply_overrides(params, {"training.epochs": 3, "recipes.pruned-int8.0.prune.ratio": 0.25}, "vision")
    assert changed.use_cases["vision"]["training"] == {"seed": 7, "epochs": 3}
    assert changed.recipes["pruned-int8"][0] == {"prune": {"ratio": 0.25}}
    assert params.use_cases["vision"]["training"] == {"seed": 7}


def test_a_position_outside_a_recipe_is_refused(params: Any) -> None:
    assert "'7' is no position" in user_error(
        lambda: params_file.apply_overrides(params, {"recipes.int8.7.quantize.mode": "static"})
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the sections use_cases, recipes"),
        ("use_case: {}", "did you mean 'use_cases'?"),
        ("use_cases: {vision: 3}\nrecipes: {dense: []}", "use_cases.vision is int"),
        ("use_cases: {vision: {}}\nrecipes: {dense: 3}", "recipes.dense must be a list of steps"),
        ("use_cases: {vision: {}", "is not YAML"),
        ("use_cases: &a {vision: {}}\nrecipes: *a", "aliases"),
    ],
)
def test_a_params_file_of_another_shape_is_refused(tmp_path: Path, text: Any, message: Any) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert message in user_error(lambda: params_file.read_params(tmp_path / "params.yaml"))


def test_a_missing_params_file_names_the_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in user_error(lambda: params_file.read_params(tmp_path / "params.yaml"))


def test_a_subclass_of_settings_keeps_the_help_and_the_bounds_of_its_base() -> None:
    from pydantic import TypeAdapter

    from tasks.core.settings import Training
    from tasks.use_cases.credit.settings import TableTraining

    base, derived = (TypeAdapter(cls).json_schema()["properties"] for cls in (Training, TableTraining))
    assert derived["threads"] == base["threads"]
    assert "CPU threads" in derived["threads"]["description"]
    assert derived["batch_size"]["description"].startswith("For tens of thousands of rows")
    assert (Training.threads, TableTraining().threads, TableTraining(threads=2).threads) == (1, 1, 2)
