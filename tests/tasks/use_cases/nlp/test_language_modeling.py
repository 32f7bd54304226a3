"""A model that foretells words beats counting them on texts it has not seen, and writes texts of its own."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core.settings import Training
from tasks.training import trainer
from tasks.use_cases.nlp import language_modeling
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp

SUBJECTS, VERBS = ("the cat", "the dog", "a bird"), ("sees", "hears", "likes")


@pytest.fixture(scope="module")
def rows() -> Any:
    dice = np.random.default_rng(0)
    texts = [f"{dice.choice(SUBJECTS)} {dice.choice(VERBS)} {dice.choice(SUBJECTS)}" for _ in range(300)]
    return pd.DataFrame({"text": texts, "label": "a", "subset": "", "truth": "", "tags": ""})


@pytest.fixture(scope="module")
def case() -> Any:
    return Nlp(model=TextModel(task="words"), training=Training(epochs=8, batch_size=16, learning_rate=0.01, precision="fp32"))


@pytest.fixture(scope="module")
def fitted(case: Any, rows: Any) -> Any:
    state = case.fit_preprocessing(rows.head(200))
    inputs, targets = case.encode(rows.head(200), state)
    torch.manual_seed(0)
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
        training=case.training,
    )
    return fitted.network, state


def test_every_text_begins_and_ends_with_an_edge(case: Any, rows: Any, fitted: Any) -> None:
    inputs, counts = case.encode(rows, fitted[1])
    assert (inputs[:, 0] == language_modeling.BOUNDARY).all()
    assert (inputs[np.arange(len(rows)), counts] == language_modeling.BOUNDARY).all()
    assert ((inputs != 0).sum(1) == counts + 1).all()


def test_it_foretells_better_than_counting_pieces(case: Any, rows: Any, fitted: Any) -> None:
    network, state = fitted
    test = rows.tail(100).reset_index(drop=True)
    predictions = case.problem.decode(test, trainer.predict(network, case.encode(test, state)[0]), state)
    scores = case.problem.metrics(predictions)
    baselines = {name: case.problem.metrics(table) for name, table in case.baselines(rows.head(200), test).items()}
    assert scores["perplexity"] < 0.5 * baselines["1-gram"]["perplexity"]
    assert baselines["3-gram"]["perplexity"] < 0.5 * baselines["1-gram"]["perplexity"]
    assert np.mean(case.problem.per_row_metric(predictions)) == pytest.approx(scores["log_likelihood"])
    assert (
        case.problem.report(predictions)["hardest"][0]["perplexity"]
        >= case.problem.report(predictions)["easiest"][0]["perplexity"]
    )


def test_outputs_do_not_depend_on_later_tokens(case: Any, rows: Any, fitted: Any) -> None:
    network, state = fitted
    inputs = torch.from_numpy(case.encode(rows.head(1), state)[0])
    other = inputs.clone()
    other[0, 4:] = 3
    with torch.no_grad():
        torch.testing.assert_close(network(inputs)[0, :3], network(other)[0, :3])


def test_it_writes_texts_of_words_it_knows_the_same_each_time(case: Any, fitted: Any) -> None:
    network, state = fitted
    written = case.sample_outputs(network, state)["written"]
    assert len(written) == language_modeling.NUM_SAMPLES
    assert written == case.sample_outputs(network, state)["written"]
    assert sum(any(verb in text for verb in VERBS) for text in written) >= 4


def test_the_shipped_file_tells_the_same(case: Any, rows: Any, fitted: Any) -> None:
    network, state = fitted
    inputs, _ = case.encode(rows.head(20), state)
    assert onnx_export.parity(network, onnx_export.to_onnx(network, inputs, state, "nlp"), inputs, 1e-4)["max_difference"] < 1e-3
