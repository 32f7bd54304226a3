"""The seed is chosen on validation, and the report tells skill from luck."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Any, cast

import pytest

from tasks.core.stage_context import StageContext
from tasks.core.storage.atomic_files import write_json
from tasks.core.storage.event_log import EventLog
from tasks.release import seeds
from tasks.release.seeds import SeedResult, kendall_tau, rank_stability, spread, summarize
from tests.support import tiny_images

Scores = dict[str, tuple[float, float]]
"""Validation and test score by recipe."""


def metrics(recipe: str, scores: Scores) -> dict[str, Any]:
    result: dict[str, Any] = {"splits": {}, "against_dense": {}}
    for position, split in enumerate(("validation", "test")):
        score = scores[recipe][position]
        result["splits"][split] = {"first": "accuracy", "scores": {"accuracy": score}}
        result["against_dense"][split] = {"drop": {"value": scores["dense"][position] - score}}
    return result


def result(seed: int, scores: Scores) -> SeedResult:
    return SeedResult(seed, seed != 7, {recipe: metrics(recipe, scores) for recipe in scores})


def context(root: Path, by_seed: dict[int | None, Scores]) -> StageContext:
    (names,) = {tuple(scores) for scores in by_seed.values()}
    made = StageContext(
        name="vision",
        case=tiny_images.Bars(),
        event_log=cast(EventLog, None),
        recipe_names=names,
        seeds=tuple(seed for seed in by_seed if seed is not None),
        root=root,
    )
    for seed, scores in by_seed.items():
        for recipe in names:
            with made.of_seed(seed).evaluation(recipe).draft() as draft:
                write_json(draft / "metrics.json", metrics(recipe, scores))
    return made


def test_without_additional_seeds_nothing_is_chosen_and_nothing_read(tmp_path: Path) -> None:
    one = context(tmp_path, {None: {"dense": (0.9, 0.9)}})
    assert seeds.choose(one) == (one, {})
    assert seeds.for_verdict({}) == seeds.card_section({}) == {}


def test_the_seed_with_the_best_validation_score_of_dense_is_chosen_not_the_luckiest_on_test(tmp_path: Path) -> None:
    before = context(tmp_path, {None: {"dense": (0.90, 0.90)}, 8: {"dense": (0.92, 0.80)}, 9: {"dense": (0.91, 0.99)}})
    after, report = seeds.choose(before)
    assert report["chosen"] == after.seed == after.case.training.seed == 8
    assert after.compressed("int8").path == tmp_path / "data/vision/compressed/seeds/8/int8"
    assert after.release.path == before.release.path


def test_of_equal_validation_scores_the_first_seed_is_chosen(tmp_path: Path) -> None:
    before = context(tmp_path, {None: {"dense": (0.9, 0.7)}, 8: {"dense": (0.9, 0.9)}})
    after, report = seeds.choose(before)
    assert after is before
    assert report["chosen"] == before.case.training.seed


def test_a_mean_over_seeds_has_the_t_interval_of_its_values() -> None:
    values = spread([0.90, 0.92, 0.94])
    assert isclose(values["mean"], 0.92)
    assert isclose(values["sd"], 0.02)
    half = 4.302653 * 0.02 / 3**0.5  # Student's t, 2 degrees of freedom
    assert isclose(values["high"] - values["mean"], half, rel_tol=1e-6)
    assert isclose(values["mean"] - values["low"], half, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3], [1, 3, 2], 1 / 3),
        ([1, 1, 2], [1, 2, 3], 2 / 6**0.5),
        ([1, 1, 1], [1, 2, 3], None),
    ],
)
def test_kendalls_tau_compares_the_order_of_recipes_and_allows_for_ties(one: Any, other: Any, tau: Any) -> None:
    assert kendall_tau(one, other) == (None if tau is None else pytest.approx(tau))


def test_rank_stability_is_the_mean_over_pairs_of_seeds() -> None:
    assert rank_stability([[1, 2, 3], [1, 2, 3], [3, 2, 1]]) == pytest.approx((1 - 1 - 1) / 3)
    assert rank_stability([[1.0], [2.0]]) is None


def test_a_loss_smaller_than_the_spread_between_seeds_is_luck_and_a_steady_one_is_not() -> None:
    drops = {7: (0.001, 0.020), 8: (-0.001, 0.021), 9: (0.003, 0.019)}
    report = summarize(
        [
            result(seed, {"dense": (0.95, 0.95), "int8": (0.95, 0.95 - int8), "pruned": (0.93, 0.95 - pruned)})
            for seed, (int8, pruned) in drops.items()
        ],
        1,
    )
    dense, int8, pruned = report["recipes"]
    assert (dense["beyond_seed_variance"], int8["beyond_seed_variance"], pruned["beyond_seed_variance"]) == (None, False, True)
    assert (
        "loses 0.0010 of accuracy on average, which the variance between seeds explains: its drop varies by 0.0020"
        in int8["sentence"]
    )
    assert "pruned loses 0.0200 of accuracy on average, beyond the variance between seeds" in pruned["sentence"]
    assert report["sentence"] == (
        "over 3 seeds dense's accuracy is 0.9500 on test rows and varies by 0.0000 between seeds; "
        "pruned loses beyond the variance between seeds; int8 loses no more than the variance between seeds explains"
    )
    assert seeds.card_section({"seeds": {"seeds": [7, 8], "chosen": 8, "sentence": "so it is"}}) == {
        "Seeds": "Seeds 7, 8; the candidates are the models of seed 8, whose dense model has the best validation score. So it is."
    }
