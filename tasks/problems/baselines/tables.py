"""The classic models of tables: linear models and gradient boosting, fitted on encoded train rows and exported to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.exported_baseline import ExportedBaseline
from tasks.data import sampling
from tasks.problems.baselines import boosted_trees, linear_models

if TYPE_CHECKING:
    from tasks.core.problem import PreprocessingState

COMPARED_ROWS = 2000
"""The most train rows on which a file is compared with scikit-learn."""


def numeric_columns(inputs: Any, state: PreprocessingState) -> int:
    """How many of the first columns are numbers: those that the state names, else all."""
    return len(state["numbers"]) if "numbers" in state else int(inputs.shape[1])


def event_models(inputs: Any, targets: Any, state: PreprocessingState) -> dict[str, ExportedBaseline]:
    """Logistic regression and gradient boosting whose one output is the logit of the event."""
    return _classifiers(inputs, targets, state, lambda scores: scores[:, None])


def class_models(inputs: Any, targets: Any, state: PreprocessingState) -> dict[str, ExportedBaseline]:
    """Logistic regression and gradient boosting whose outputs are the logits of three classes or more."""
    return _classifiers(inputs, targets, state, lambda scores: scores)


def _classifiers(
    inputs: Any, targets: Any, state: PreprocessingState, shaped: Callable[[Any], Any]
) -> dict[str, ExportedBaseline]:
    numbers, compared = numeric_columns(inputs, state), _compared(inputs)
    linear = linear_models.fit_logistic_regression(inputs, targets, numbers)
    trees = boosted_trees.fit_classifier(inputs, targets, numbers)
    return {
        "logistic regression": _linear(linear, inputs, numbers, state, shaped(linear.decision_function(compared))),
        "gradient boosting": _boosted(trees, inputs, state, shaped(trees.decision_function(compared))),
    }


def number_models(inputs: Any, targets: Any, state: PreprocessingState) -> dict[str, ExportedBaseline]:
    """Ridge regression and gradient boosting whose one output is the standardized target."""
    numbers, compared = numeric_columns(inputs, state), _compared(inputs)
    linear = linear_models.fit_ridge_regression(inputs, targets, numbers)
    trees = boosted_trees.fit_regressor(inputs, targets, numbers)
    return {
        "ridge regression": _linear(linear, inputs, numbers, state, linear.predict(compared)[:, None]),
        "gradient boosting": _boosted(trees, inputs, state, trees.predict(compared)[:, None]),
    }


def _compared(inputs: Any) -> Any:
    (sample,) = sampling.evenly_spaced_rows([len(inputs)], COMPARED_ROWS)
    return inputs[sample]


def _linear(pipeline: Any, inputs: Any, numbers: int, state: PreprocessingState, expected: Any) -> ExportedBaseline:
    model = pipeline[-1]
    weights, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    return ExportedBaseline(
        model=linear_models.to_onnx(pipeline, numbers, inputs, weights, bias),
        state=state,
        parameters=int(weights.size + bias.size),
        train_rows=len(inputs),
        inputs=_compared(inputs),
        expected=np.asarray(expected, np.float64),
    )


def _boosted(trees: Any, inputs: Any, state: PreprocessingState, expected: Any) -> ExportedBaseline:
    return ExportedBaseline(
        model=boosted_trees.to_onnx(trees, inputs),
        state=state,
        parameters=boosted_trees.node_count(trees),
        train_rows=len(inputs),
        inputs=_compared(inputs),
        expected=np.asarray(expected, np.float64),
    )
