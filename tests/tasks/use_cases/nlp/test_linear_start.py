"""A bag of texts of one's own starts as the mean of two linear classifiers of the features that it computes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.svm import LinearSVC

from tasks.core.settings import Training
from tasks.models.nlp.bag import Bag
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.topics import linear_start
from tasks.use_cases.nlp.use_case import Nlp


def sentences(classes: int, count: int = 240) -> pd.DataFrame:
    """Texts whose class is told by a word that half of them have, and by word pairs."""
    dice = np.random.default_rng(0)
    labels = dice.integers(0, classes, count)
    texts = [f"the {'sign' if n % 2 else 'mark'}{label} of it{dice.integers(9)}" for n, label in enumerate(labels)]
    return pd.DataFrame({"text": texts, "label": [f"c{label}" for label in labels]})


@pytest.fixture(params=[2, 3, 20])
def fitted(request: pytest.FixtureRequest) -> Any:
    case, rows = Nlp(fetch=TextFetch(path="mine")), sentences(request.param)
    state = case.fit_preprocessing(rows)
    inputs, targets = case.encode(rows, state)
    torch.manual_seed(0)
    network = case.build_model(state)
    case.initialize_weights(network, inputs, targets)
    return case, state, network.eval(), inputs, targets


def test_before_any_step_a_bag_gives_the_logits_of_the_linear_model(fitted: Any) -> None:
    _, state, network, inputs, targets = fitted
    classes = len(state["classes"])
    start = linear_start.fit(inputs, targets, network.token_weights(), classes)
    expected = linear_start.bag_features(inputs, network.token_weights()) @ start.weights_KV.T + start.bias_K
    logits = network(torch.from_numpy(inputs)).detach().numpy()
    assert network.fields["width"] == max(16, classes)
    assert np.abs(logits - expected).max() < 0.02  # dimensions beyond the classes begin with small random numbers
    assert (logits.argmax(1) == targets).mean() > 0.97


def test_the_start_is_the_mean_of_a_support_vector_machine_and_one_on_scaled_features() -> None:
    tokens = np.array([[1, 2, 0], [1, 3, 0], [1, 2, 3], [1, 1, 3], [2, 2, 0], [3, 1, 0]], np.int32)
    targets, weights = np.array([0, 1, 0, 1, 0, 1]), np.array([0.0, 1, 2, 3])
    features = linear_start.bag_features(tokens, weights).toarray()
    assert features[3] == pytest.approx(np.array([0, 2, 0, 3]) / np.sqrt(1 + 1 + 9 + 1e-3))
    counts = np.stack([(features[targets == one] > 0).sum(0) for one in (0, 1)]) + 1.0
    shares = counts / counts.sum(1, keepdims=True)
    ratio = np.log(shares[0] / shares[1])
    plain = LinearSVC(C=0.5, random_state=0).fit(features, targets == 0)
    scaled = LinearSVC(C=0.5, random_state=0).fit(features * ratio, targets == 0)
    start = linear_start.fit(tokens, targets, weights, 2)
    assert start.weights_KV[0] == pytest.approx(1.5 * (plain.coef_[0] + ratio * scaled.coef_[0]), abs=1e-3)
    assert start.weights_KV[1] == pytest.approx(-start.weights_KV[0])
    assert start.bias_K == pytest.approx([1.5 * (plain.intercept_[0] + scaled.intercept_[0]), -start.bias_K[0]], abs=1e-3)


def test_many_rows_are_sampled_and_every_class_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sentences(3)
    rows.loc[7, "label"] = "rare"
    case = Nlp(fetch=TextFetch(path="mine"))
    state = case.fit_preprocessing(rows)
    inputs, targets = case.encode(rows, state)
    weights = np.ones(state["vocabulary"]["count"] + 1)
    fitted_rows: list[int] = []

    def count_rows(tokens: Any, weight: Any) -> Any:
        fitted_rows.append(len(tokens))
        return features(tokens, weight)

    features = linear_start.bag_features
    monkeypatch.setattr(linear_start, "bag_features", count_rows)
    monkeypatch.setattr(linear_start, "MAX_VALUES", int(np.count_nonzero(inputs)) // 4)
    start = linear_start.fit(inputs, targets, weights, 4)
    assert 60 <= fitted_rows[0] <= 64
    assert np.isfinite(start.weights_KV).all()
    assert start.bias_K.shape == (4,)


def test_a_student_begins_as_the_frequent_tokens_of_its_teacher(fitted: Any) -> None:
    case, state, network, inputs, _ = fitted
    tokens, classes = network.fields["tokens"] - 5, len(state["classes"])
    student = Bag(tokens=tokens, classes=classes, width=classes).eval()
    case.start_student(student, network)
    kept = torch.from_numpy(np.where(inputs < tokens, inputs, 0))
    torch.testing.assert_close(student(kept), network(kept), rtol=1e-3, atol=1e-3)


def test_other_texts_and_other_settings_start_as_before() -> None:
    rows = sentences(2)
    packaged, words = Nlp(), Nlp(fetch=TextFetch(path="mine"), model=TextModel(width=4, head_start=0))
    for case in (packaged, words):
        state = case.fit_preprocessing(rows)
        network: Any = case.build_model(state)
        before = network.embedding.weight.clone()
        case.initialize_weights(network, *case.encode(rows, state))
        assert torch.equal(network.embedding.weight, before)
    assert network.fields["width"] == 4
    chosen = Nlp(fetch=TextFetch(path="mine"), training=Training(learning_rate=0.02))
    assert chosen.suited_training().learning_rate == 0.02
