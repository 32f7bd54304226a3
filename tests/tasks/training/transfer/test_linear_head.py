"""The linear head separates separable classes, weighs rare ones, and chooses its strength on validation."""

from typing import Any

import numpy as np

from tasks.training.transfer import linear_head


def blobs(counts: Any, seed: Any = 0, spread: Any = 1.0) -> Any:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(len(counts), 12)) * 2
    features = np.concatenate([centres[k] + spread * generator.normal(size=(n, 12)) for k, n in enumerate(counts)])
    return features.astype(np.float16), np.repeat(np.arange(len(counts)), counts)


def accuracy(head: Any, features: Any, targets: Any) -> float:
    return float((head.logits(features).argmax(1) == targets).mean())


def test_it_learns_two_and_more_classes() -> None:
    for counts in ([60, 60], [50, 50, 50]):
        train, held_out = blobs(counts), blobs([40] * len(counts), seed=1)
        head = linear_head.fit(train[0], train[1], held_out, len(counts))
        assert accuracy(head, *held_out) > 0.95
        assert head.weight.shape == (len(counts), 12)


def test_features_that_say_nothing_get_the_strongest_regularisation() -> None:
    generator = np.random.default_rng(0)
    parts = [(generator.normal(size=(n, 12)).astype(np.float16), generator.integers(0, 2, n)) for n in (30, 400)]
    assert linear_head.fit(parts[0][0], parts[0][1], parts[1], 2).strength == min(linear_head.STRENGTHS)


def test_a_rare_class_is_found_more_often_when_classes_are_balanced() -> None:
    train, held_out = blobs([300, 6], spread=3.0), blobs([300, 300], seed=1, spread=3.0)
    validation = blobs([300, 6], seed=2, spread=3.0)
    heads = [linear_head.fit(train[0], train[1], validation, 2, balanced=balanced) for balanced in (False, True)]
    recalls = [float(head.logits(held_out[0])[300:].argmax(1).mean()) for head in heads]
    assert recalls[1] > recalls[0] + 0.1


def test_a_class_without_train_rows_is_never_predicted() -> None:
    features, targets = blobs([40, 40])
    head = linear_head.fit(features, targets, (features, targets), 3)
    assert head.logits(features).argmax(1).max() == 1


def test_equal_rows_give_equal_bytes() -> None:
    features, targets = blobs([30, 30])
    first, second = (linear_head.fit(features, targets, (features, targets), 2) for _ in range(2))
    assert first.weight.tobytes() == second.weight.tobytes()
