"""params.yaml lists the additional seeds once, and a file without them has none."""

from typing import Any

import pytest

from tasks.core import params_file
from tasks.core.errors import UserError

SECTIONS: dict[str, Any] = {"use_cases": {"vision": {"training": {"seed": 7}}}, "recipes": {"dense": []}}


def test_a_file_from_before_there_were_seeds_has_no_additional_ones() -> None:
    params = params_file.parse_params(SECTIONS)
    assert params.seeds == ()
    assert params_file.parse_params(params.as_dict()) == params


def test_an_additional_seed_takes_the_place_of_the_use_cases_own() -> None:
    params = params_file.with_seed(params_file.parse_params({**SECTIONS, "seeds": [8, 9]}), "vision", 9)
    assert params_file.build_use_case("vision", params).training.seed == 9


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (3, "seeds is 3; expected a list of whole numbers"),
        ([-1], "expected a list of whole numbers from 0"),
        ([True], "expected a list of whole numbers"),
        ([8, 8], "seeds has 8 twice"),
        ([7], "seeds has 7, which is use_cases.vision.training.seed already"),
    ],
)
def test_seeds_that_would_be_played_twice_or_are_none_are_refused(seeds: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        params_file.validate_params(params_file.parse_params({**SECTIONS, "seeds": seeds}))


def test_no_recipe_takes_the_name_of_the_folder_of_additional_seeds() -> None:
    with pytest.raises(UserError, match="no recipe can be named 'seeds'"):
        params_file.parse_params({**SECTIONS, "recipes": {"dense": [], "seeds": []}})


def test_seeds_within_a_stanza_are_sent_to_where_they_belong() -> None:
    params = params_file.parse_params({**SECTIONS, "use_cases": {"vision": {"training": {"seeds": 5}}}})
    with pytest.raises(UserError, match=r"list additional seeds at the top, as in seeds: \[8, 9\], or run with --seeds"):
        params_file.build_use_case("vision", params)


ODD_NAMES = ("; touch F #", "$(touch F)", "a b", "../x", "a/b", "-n", "", ".", "a..b", "x\ny", "'", "a" * 65, "é", "x\0", 3, None)


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_a_name_that_is_no_folder_and_no_word_of_a_command_is_refused(name: Any) -> None:
    with pytest.raises(UserError, match="is no name of a recipe"):
        params_file.parse_params({**SECTIONS, "recipes": {"dense": [], name: []}})
    with pytest.raises(UserError, match="is no name of a use case"):
        params_file.parse_params({**SECTIONS, "use_cases": {name: {}}})
