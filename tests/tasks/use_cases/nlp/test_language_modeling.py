"""A model that foretells words beats counting them on texts it has not seen, and writes texts of its own."""

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core.settings import Training
from tasks.training import trainer
from tasks.use_cases.nlp import language_modeling
from tasks.use_cases.nlp.settings import Model
from tasks.use_cases.nlp.use_case import Nlp

SUBJECTS, VERBS = ("the cat", "the dog", "a bird"), ("sees", "hears", "likes")


@pytest.fixture(scope="module")
def rows():
    dice = np.random.default_rng(0)
    texts = [f"{dice.choice(SUBJECTS)} {dice.choice(VERBS)} {dice.choice(SUBJECTS)}" for _ in range(300)]
    return pd.DataFrame({"text": texts, "label": "a", "subset": "", "truth": "", "tags": ""})


@pytest.fixture(scope="module")
def case():
    return Nlp(model=Model(task="words"), training=Training(epochs=8, batch_size=16, learning_rate=0.01, precision="fp32"))


@pytest.fixture(scope="module")
def fitted(case, rows):
    learnt = case.learn(rows.head(200))
    inputs, targets = case.encode(rows.head(200), learnt)
    torch.manual_seed(0)
    found = trainer.fit(
        case.network(learnt), inputs, targets, objective=lambda network, x, y: case.loss(network(x), y), training=case.training
    )
    return found.network, learnt


def test_every_text_begins_and_ends_with_an_edge(case, rows, fitted):
    inputs, counts = case.encode(rows, fitted[1])
    assert (inputs[:, 0] == language_modeling.EDGE).all()
    assert (inputs[np.arange(len(rows)), counts] == language_modeling.EDGE).all()
    assert ((inputs != 0).sum(1) == counts + 1).all()


def test_it_foretells_better_than_counting_pieces(case, rows, fitted):
    network, learnt = fitted
    asked = rows.tail(100).reset_index(drop=True)
    told = case.decode(asked, trainer.predict(network, case.encode(asked, learnt)[0]), learnt)
    scores = case.score(told)
    rivals = {name: case.score(found) for name, found in case.baselines(rows.head(200), asked).items()}
    assert scores["perplexity"] < 0.5 * rivals["1-gram"]["perplexity"]
    assert rivals["3-gram"]["perplexity"] < 0.5 * rivals["1-gram"]["perplexity"]
    assert np.mean(case.goodness(told)) == pytest.approx(scores["log_likelihood"])
    assert case.report(told)["hardest"][0]["perplexity"] >= case.report(told)["easiest"][0]["perplexity"]


def test_what_was_told_does_not_depend_on_what_comes_after(case, rows, fitted):
    network, learnt = fitted
    inputs = torch.from_numpy(case.encode(rows.head(1), learnt)[0])
    other = inputs.clone()
    other[0, 4:] = 3
    with torch.no_grad():
        torch.testing.assert_close(network(inputs)[0, :3], network(other)[0, :3])


def test_it_writes_texts_of_words_it_knows_the_same_each_time(case, fitted):
    network, learnt = fitted
    written = case.shown(network, learnt)["written"]
    assert len(written) == language_modeling.SAMPLES
    assert written == case.shown(network, learnt)["written"]
    assert sum(any(verb in text for verb in VERBS) for text in written) >= 4


def test_the_shipped_file_tells_the_same(case, rows, fitted):
    network, learnt = fitted
    inputs, _ = case.encode(rows.head(20), learnt)
    assert onnx_export.parity(network, onnx_export.to_onnx(network, inputs, learnt, "nlp"), inputs, 1e-4)["max_difference"] < 1e-3
