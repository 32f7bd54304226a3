"""The mean of the row values is the metric, as scikit-learn computes it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from tasks.core.errors import UserError
from tasks.core.settings import ClassTraining, first_metric_state
from tasks.metrics import classification, first_metric
from tasks.problems.multiclass_classification import MulticlassClassification


def predictions(shares: Any, rows: int = 400, seed: int = 0) -> Any:
    generator, classes = np.random.default_rng(seed), list("abcd")[: len(shares)]
    labels = generator.choice(classes, rows, p=shares)
    logits = generator.normal(size=(rows, len(classes))) + 1.5 * (labels[:, None] == np.array(classes))
    return classification.predictions_table(pd.DataFrame({"label": labels}), classification.softmax(logits), classes, ("label",))


def test_the_means_are_the_metrics() -> None:
    table = predictions([0.7, 0.25, 0.05])
    probabilities = np.stack(table["probabilities"].to_list()).astype(np.float64)
    expected = {
        "accuracy": (table["label"] == table["predicted"]).mean(),
        "balanced_accuracy": balanced_accuracy_score(table["label"], table["predicted"]),
        "macro_f1": f1_score(table["label"], table["predicted"], average="macro"),
        "roc_auc": roc_auc_score(table["label"], probabilities / probabilities.sum(1, keepdims=True), multi_class="ovr"),
    }
    for metric, value in expected.items():
        problem = MulticlassClassification(first_metric=metric)
        assert first_metric.row_values(table, metric).mean() == pytest.approx(value, abs=1e-9)
        assert next(iter(problem.metrics(table))) == metric
        assert problem.metrics(table)[metric] == pytest.approx(value, abs=1e-9)


def test_sensitivity_is_the_share_of_events_above_the_threshold_that_keeps_the_specificity() -> None:
    table = predictions([0.8, 0.2])
    scores, event = np.stack(table["probabilities"].to_list())[:, 1], (table["label"] == "b").to_numpy()
    threshold = np.sort(scores[~event])[int(np.ceil(0.9 * ((~event).sum() - 1)))]
    assert (scores[~event] <= threshold).mean() >= 0.9
    value = first_metric.row_values(table, "sensitivity", "b", 0.9).mean()
    assert value == pytest.approx((scores[event] > threshold).mean())


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "roc_auc"])
def test_the_variance_of_the_row_values_is_the_sampling_variance(metric: Any) -> None:
    spread = np.std([first_metric.row_values(predictions([0.6, 0.4], 300, seed), metric).mean() for seed in range(120)])
    one = first_metric.row_values(predictions([0.6, 0.4], 300, 7), metric)
    assert one.std(ddof=1) / len(one) ** 0.5 == pytest.approx(spread, rel=0.3)


def test_a_model_that_never_finds_the_rare_class_has_high_accuracy_and_low_balanced_accuracy() -> None:
    table = predictions([0.95, 0.05]).assign(predicted="a")
    assert first_metric.row_values(table, "accuracy").mean() > 0.9
    assert first_metric.row_values(table, "balanced_accuracy").mean() == pytest.approx(0.5)


def test_the_state_names_the_metric_and_its_event() -> None:
    labels = ["a"] * 5 + ["b"] * 2 + ["c"] * 3
    assert first_metric_state(ClassTraining(), labels) == {}
    state = first_metric_state(ClassTraining(first_metric="sensitivity", specificity=0.8), labels)
    assert state == {"first_metric": {"first_metric": "sensitivity", "event": "b", "specificity": 0.8}}
    assert MulticlassClassification().of_state(state).event == "b"
    assert MulticlassClassification().of_state({}).first_metric == "accuracy"
    with pytest.raises(UserError, match="'d' is no class of the train rows; there is a, b, c"):
        first_metric_state(ClassTraining(first_metric="sensitivity", event="d"), labels)
