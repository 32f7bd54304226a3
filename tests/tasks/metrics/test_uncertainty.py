"""Outputs are read with a prediction set, and an abstention with its reason."""

from typing import Any

import numpy as np
import pytest

from tasks.core.errors import UserError
from tasks.metrics import uncertainty

INPUTS = np.zeros((3, 1), np.int32)
ENTRY = {
    "outputs": "classes",
    "temperature": 1.0,
    "conformal": {"coverage": 0.9, "threshold": 0.72, "rows": 100},
    "out_of_distribution": {"kept": 0.98, "rows": 100, "scores": {"energy": {"threshold": 0.0}}},
}


def logits(*probabilities: Any) -> Any:
    return np.log(np.array(probabilities)) + 3


def test_a_set_of_one_class_is_an_answer_and_a_set_of_several_an_abstention() -> None:
    reading = uncertainty.read(logits([0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.2, 0.5, 0.3]), INPUTS, ENTRY)
    assert reading.prediction_sets.tolist() == [[True, False, False], [True, True, False], [False, True, True]]
    assert reading.reasons == ["", uncertainty.UNDECIDED, uncertainty.UNDECIDED]
    assert reading.abstained.tolist() == [False, True, True]


def test_an_empty_conformal_set_is_filled_with_the_most_probable_class() -> None:
    entry = {**ENTRY, "conformal": {"coverage": 0.9, "threshold": 0.1, "rows": 100}}
    reading = uncertainty.read(logits([0.8, 0.1, 0.1], [0.95, 0.04, 0.01], [0.2, 0.5, 0.3]), INPUTS, entry)
    assert reading.conformal_sets.sum(1).tolist() == [0, 1, 0]
    assert reading.prediction_sets.argmax(1).tolist() == [0, 0, 1]
    assert not reading.abstained.any()


def test_a_row_without_support_for_any_class_is_out_of_distribution() -> None:
    outputs = logits([0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]) - np.array([[0], [4], [0]])
    outputs[2] = np.nan
    reading = uncertainty.read(outputs, INPUTS, ENTRY)
    assert reading.reasons == ["", uncertainty.OUT_OF_DISTRIBUTION, uncertainty.OUT_OF_DISTRIBUTION]


def test_log_odds_give_the_probabilities_of_both_classes() -> None:
    entry = {**ENTRY, "outputs": "event", "out_of_distribution": {"scores": {}}}
    reading = uncertainty.read(np.log([[[1 / 9]], [[9.0]], [[1.0]]])[:, 0], INPUTS, entry)
    np.testing.assert_allclose(reading.probabilities, [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    assert reading.reasons == ["", "", uncertainty.UNDECIDED]


@pytest.mark.parametrize("entry", [None, {}])
@pytest.mark.parametrize("outputs", [logits([0.4, 0.3, 0.3], [0.1, 0.8, 0.1]), np.array([[-2.0], [0.1]])])
def test_a_file_without_the_entry_never_abstains(entry: Any, outputs: Any) -> None:
    reading = uncertainty.read(outputs, INPUTS[:2], entry)
    assert reading.prediction_sets.sum(1).tolist() == [1, 1]
    assert reading.prediction_sets.argmax(1).tolist() == [0, 1]
    assert reading.reasons == ["", ""]


def test_members_of_an_ensemble_are_averaged_before_they_are_read() -> None:
    members = np.stack([logits([0.8, 0.1, 0.1]), logits([0.8, 0.1, 0.1])], 1)
    np.testing.assert_allclose(uncertainty.probabilities_of(members, "classes"), [[0.8, 0.1, 0.1]])


def test_an_unreadable_entry_is_an_error_in_one_line() -> None:
    with pytest.raises(UserError, match=r"unreadable entry bonsai\.uncertainty .*; compress the model again"):
        uncertainty.read(logits([0.8, 0.2]), INPUTS[:1], {"outputs": "classes"})
