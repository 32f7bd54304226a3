"""A candidate's evidence comes from its predictions on the same rows as dense's, and from its times."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.core.settings import Contract
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.release.assessment import Comparison, Measured, Reference, assess, best_baseline
from tasks.release.evidence import Drop, Estimated, LargestGap
from tasks.release.paired_tests import BinaryDrop, ResampledDrop
from tasks.use_cases.finance.volatility_forecasting import VolatilityForecasting

PROBLEM = MulticlassClassification()
ROWS = 600
CONTRACT = Contract(max_drop=0.02, min_speedup=2.0, max_size_share=0.3)


def predictions(wrong: Any = (), groups: Any = None) -> dict[str, pd.DataFrame]:
    """Predictions by split of a model that is wrong at the places `wrong`; every third row is a `c`."""
    labels = np.array(["a", "b", "c"] * (ROWS // 3))
    predicted = labels.copy()
    for place in wrong:
        predicted[place] = {"a": "b", "b": "c", "c": "a"}[labels[place]]
    table = pd.DataFrame({"label": labels, "predicted": predicted, "confidence": 0.9})
    table["classes"] = [["a", "b", "c"]] * ROWS
    table["probabilities"] = [[0.9 if name == each else 0.05 for name in "abc"] for each in predicted]
    if groups is not None:
        table["groups"] = groups
    return {"validation": table, "test": table}


def measured(tables: Any, **changes: Any) -> Measured:
    ratios = [4.0, 4.1, 4.2, 3.9, 4.0, 4.1]
    split = {"first": "accuracy", "scores": {"accuracy": 0.9}, "objections": []}
    metrics = {"bytes": 1000, "bytes_share": 0.1, "splits": {"validation": split, "test": split}}
    times = {
        "speedup_over": {"dense": {"1": {"process_ratios": ratios}}},
        "batches": {"1": {"process_medians_ms": [0.05, 0.06, 0.05, 0.055, 0.06, 0.05]}},
    }
    own = Measured(name="int8", kind="recipe", metrics=metrics, times=times, predictions=tables)
    return replace(own, **changes)


def assessed(own: Measured, contract: Contract = CONTRACT, baseline: Reference | None = None) -> Any:
    return assess(own, predictions(range(30)), baseline, PROBLEM, contract, "label")


def test_the_drop_is_counted_on_the_test_rows_and_planned_on_the_validation_rows() -> None:
    own = measured({"validation": predictions(range(32))["test"], "test": predictions(range(35))["test"]})
    result = assessed(own)
    drop = result.terms["max_drop"]
    assert isinstance(drop, Drop)
    assert drop.drop == BinaryDrop(5, 0, ROWS)
    assert result.validation_drop == BinaryDrop(2, 0, ROWS)


def test_the_first_process_orders_and_the_others_decide() -> None:
    result = assessed(measured(predictions(range(30))))
    assert result.cost == 0.1 / 4.0
    assert result.terms["min_speedup"].processes == (4.1, 4.2, 3.9, 4.0, 4.1)
    slow = assessed(measured(predictions(range(30))), replace(CONTRACT, min_speedup=4.05))
    assert slow.excluded == "in the first process it is 4.00 times as fast as dense"


def test_a_candidate_with_too_many_bytes_is_not_tried() -> None:
    assert assessed(measured(predictions()), replace(CONTRACT, max_size_share=0.05)).excluded == "it has more bytes than allowed"
    assert assessed(measured(predictions()), replace(CONTRACT, max_bytes=999)).excluded == "it has more bytes than allowed"


def test_a_model_that_is_shown_worse_than_the_best_baseline_breaks_the_contract() -> None:
    baseline = Reference(name="kernel-machine", predictions=predictions(range(2)))
    worse = assessed(measured(predictions(range(30))), baseline=baseline)
    assert worse.status_of("beats") == "broken"
    assert worse.excluded == "on validation it is worse than 'kernel-machine'"
    assert assessed(measured(predictions(range(3))), baseline=baseline).status_of("beats") == "kept"
    ignored = assessed(measured(predictions(range(30))), replace(CONTRACT, beats="none"), baseline)
    assert "beats" not in ignored.terms


def test_the_best_baseline_is_the_best_on_validation() -> None:
    good, bad = predictions(range(10)), predictions(range(50))
    crossed = {"validation": bad["validation"], "test": predictions()["test"]}
    best = best_baseline(PROBLEM, {"good": good, "crossed": crossed})
    assert best is not None
    assert best.name == "good"
    assert best_baseline(PROBLEM, {}) is None


def test_a_classic_baseline_is_not_held_against_terms_of_compression() -> None:
    own = measured(predictions(range(10)), name="kernel-machine", kind="baseline")
    result = assessed(own, replace(CONTRACT, max_latency_ms=0.1, max_bytes=5000))
    assert set(result.terms) == {"max_drop", "max_latency_ms", "max_bytes"}


def test_every_class_is_held_against_its_own_margin() -> None:
    lost_in_c = [*range(30), *range(32, 92, 3)]
    result = assessed(measured(predictions(lost_in_c)), replace(CONTRACT, max_drop=0.2, max_class_drop=0.05))
    assert result.terms["max_class_drop"].value == pytest.approx(20 / 200)
    assert result.status_of("max_drop") == "kept"
    assert result.status_of("max_class_drop") == "broken"


def test_a_term_without_its_data_is_a_users_error() -> None:
    with pytest.raises(UserError, match=r"max_class_drop needs classes, and this use case has none; set it to 0"):
        assess(measured(predictions()), predictions(), None, PROBLEM, replace(CONTRACT, max_class_drop=0.1), "")
    with pytest.raises(UserError, match=r"max_robustness_drop needs corruptions"):
        assessed(measured(predictions()), replace(CONTRACT, max_robustness_drop=0.1))


def test_groups_are_compared_by_attribute_and_small_ones_are_left_out() -> None:
    groups = [
        "AGE=old; SEX=f" if place < 300 else "AGE=young; SEX=m" if place < 590 else "AGE=child; SEX=m" for place in range(ROWS)
    ]
    result = assessed(measured(predictions(range(60), groups)), replace(CONTRACT, max_group_gap=0.1))
    gap = result.terms["max_group_gap"]
    assert isinstance(gap, LargestGap)
    assert len(gap.pairs) == 2
    assert gap.value == pytest.approx(0.2)
    assert result.status_of("max_group_gap") == "broken"


def test_the_drop_on_corrupted_rows_has_a_term() -> None:
    own = measured(predictions())
    own.metrics["robustness"] = {"mean": {"drop": {"value": 0.01, "standard_error": 0.005}}}
    term = assessed(own, replace(CONTRACT, max_robustness_drop=0.03)).terms["max_robustness_drop"]
    assert term == Estimated(0.03, 0.01, 0.005)


def test_blockers_of_the_test_rows_forbid_a_release() -> None:
    own = measured(predictions())
    own.metrics["splits"]["test"]["objections"] = ["its 1% quantile is undercut too often"]
    own.metrics["splits"]["validation"] = {"first": "accuracy", "scores": {"accuracy": 0.9}}
    assert assessed(own).status == "broken"


def test_prices_of_one_day_are_resampled_together() -> None:
    days = np.repeat(np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]"), 3)
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {"next_date": days, "next_variance": generator.chisquare(1, len(days)) + 0.1, "variance": 1.0, "next_return": 0.0}
    )
    both = {"test": table}
    drop = Comparison(VolatilityForecasting(), both, {"test": table.assign(variance=1.1)}).drop("test")
    assert isinstance(drop, ResampledDrop)
    assert drop.method == "stationary bootstrap of 100 points in time"
