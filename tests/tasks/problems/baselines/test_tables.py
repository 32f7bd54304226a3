"""Linear models and boosted trees on tables: the ONNX file answers as scikit-learn does."""

from typing import Any

import numpy as np
import pytest

from tasks.core import onnx_model
from tasks.problems.baselines import boosted_trees, class_scores, linear_models, tables
from tasks.stages import baselines

NUMBERS = 4


def table(rows: int = 600, seed: int = 0) -> Any:
    """Four numbers, one often missing and one large, and two columns of codes, one of them with 40 values."""
    dice = np.random.default_rng(seed)
    inputs = dice.normal(size=(rows, 6)).astype(np.float32)
    inputs[:, 1] = inputs[:, 1] * 1e5 + 3e5
    inputs[dice.random(rows) < 0.3, 2] = np.nan
    inputs[:, 4], inputs[:, 5] = dice.integers(0, 40, rows), dice.integers(1, 4, rows)
    return inputs


def quantity(inputs: Any) -> Any:
    return inputs[:, 0] + np.isnan(inputs[:, 2]) + np.isin(inputs[:, 4], [1, 5, 33, 39]) - (inputs[:, 5] == 2)


def never_seen(inputs: Any) -> Any:
    """Rows with unknown codes, with missing values in other columns, and with all numbers missing."""
    rows = inputs[:50].copy()
    rows[:10, 4], rows[10:20, 5], rows[20:30, 0] = 41, 0, np.nan
    rows[30:40, :NUMBERS], rows[40:, 4] = np.nan, 300
    return rows


def outputs(model: Any, inputs: Any) -> Any:
    return onnx_model.predict(onnx_model.to_bytes(model), inputs)


@pytest.mark.parametrize("numbers", [NUMBERS, 6])
def test_logistic_regression_of_an_event_gives_its_logit(numbers: int) -> None:
    inputs = table()
    model = linear_models.fit_logistic_regression(inputs, (quantity(inputs) > 0).astype(np.float32), numbers)
    exported = linear_models.to_onnx(model, numbers, inputs, model[-1].coef_, model[-1].intercept_)
    for rows in (inputs, never_seen(inputs)):
        assert np.abs(outputs(exported, rows)[:, 0] - model.decision_function(rows)).max() < 1e-5


def test_a_linear_model_on_codes_alone_needs_no_numbers() -> None:
    inputs = table()[:, NUMBERS:]
    model = linear_models.fit_ridge_regression(inputs, (inputs[:, 0] > 7).astype(np.float64), 0)
    exported = linear_models.to_onnx(model, 0, inputs, np.atleast_2d(model[-1].coef_), np.atleast_1d(model[-1].intercept_))
    rows = np.concatenate([inputs, [[41, 0], [300, 1]]]).astype(np.float32)
    assert np.abs(outputs(exported, rows)[:, 0] - model.predict(rows)).max() < 1e-5


@pytest.mark.parametrize("missing_in_training", [True, False])
def test_trees_split_on_categories_and_on_missing_values_as_scikit_learn_does(missing_in_training: bool) -> None:
    inputs = table() if missing_in_training else np.nan_to_num(table())
    trees = boosted_trees.fit_classifier(inputs, (quantity(inputs) > 0).astype(np.float32), NUMBERS)
    assert any(tree.nodes["is_categorical"].any() for (tree,) in trees._predictors)
    exported = boosted_trees.to_onnx(trees, inputs)
    for rows in (inputs, never_seen(inputs)):
        assert np.abs(outputs(exported, rows)[:, 0] - trees.decision_function(rows)).max() < 1e-5


def test_a_row_at_a_threshold_falls_on_the_same_side() -> None:
    inputs = np.repeat(np.array([0.1, 0.2, 0.3, 0.4], np.float32), 60)[:, None]
    trees = boosted_trees.fit_regressor(inputs, np.repeat([1.0, 5.0, 2.0, 8.0], 60), 1)
    between = np.array([[0.15], [0.25], [0.35], [np.nextafter(np.float32(0.25), np.float32(1))]], np.float32)
    assert outputs(boosted_trees.to_onnx(trees, inputs), between)[:, 0] == pytest.approx(trees.predict(between), abs=1e-5)
    assert boosted_trees.float_at_most(0.1) <= 0.1 < float(np.nextafter(boosted_trees.float_at_most(0.1), np.float32(1)))


def test_trees_that_cannot_split_give_one_value() -> None:
    inputs = table(20)
    trees = boosted_trees.fit_regressor(inputs, np.full(20, 2.5), NUMBERS)
    assert outputs(boosted_trees.to_onnx(trees, inputs), inputs) == pytest.approx(np.full((20, 1), 2.5), abs=1e-6)


@pytest.mark.parametrize("kind", ["event", "classes", "number"])
def test_the_models_of_a_table_come_with_outputs_to_compare_and_are_the_same_twice(kind: str) -> None:
    inputs = table()
    state = {"numbers": ["a", "b", "c", "d"]}
    models, targets = {
        "event": (tables.event_models, (quantity(inputs) > 0).astype(np.float32)),
        "classes": (tables.class_models, np.digitize(quantity(inputs), [-0.5, 0.5])),
        "number": (tables.number_models, quantity(inputs).astype(np.float32)),
    }[kind]
    files = []
    for _ in range(2):
        exported = models(inputs, targets, state)
        assert len(exported) == 2
        files.append({name: baselines.to_bytes(model, "credit", "any") for name, model in exported.items()})
        for name, model in exported.items():
            assert model.expected.shape == (600, 3 if kind == "classes" else 1)
            found = baselines.parity(files[-1][name], model.inputs, model.expected, name)
            assert found["max_difference"] < 1e-4
            assert found["equal_decisions_share"] > 0.99
    assert files[0] == files[1]


def test_a_column_without_any_value_and_integers_do_no_harm() -> None:
    inputs = table()
    inputs[:, 3] = np.nan
    for model in tables.event_models(inputs, inputs[:, 0] > 0, {"numbers": ["a", "b", "c", "d"]}).values():
        assert np.abs(outputs(model.model, model.inputs) - model.expected).max() < 1e-4
    whole = np.nan_to_num(table()).astype(np.int64)
    for model in tables.number_models(whole, whole[:, 4] * 0.1, {}).values():
        assert np.abs(outputs(model.model, whole) - model.expected).max() < 1e-4


def test_a_class_that_the_model_never_saw_has_probability_0() -> None:
    weights, biases = class_scores.weights_of_all_classes([[1.0, 2.0]], [0.5], [0, 2], 3)
    assert weights.tolist() == [[0, 0], [0, 0], [1, 2]]
    assert biases.tolist() == [0, class_scores.ABSENT_SCORE, 0.5]
    assert class_scores.scores_of_all_classes([3.0], [0, 2], 3).tolist() == [[0, class_scores.ABSENT_SCORE, 3]]
