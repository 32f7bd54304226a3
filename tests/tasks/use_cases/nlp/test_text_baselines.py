"""Linear models on tf-idf as ONNX files: they answer as scikit-learn does, for texts of any script and for none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from tasks.core import onnx_model
from tasks.metrics.classification import softmax
from tasks.stages import baselines
from tasks.text import term_counts, tokenization
from tasks.use_cases.nlp.topics import text_baselines
from tasks.use_cases.nlp.use_case import Nlp
from tests.support import exported_baselines

SENTENCES = {
    "pets": "the cat sleeps on the warm mat and the dog barks at cats",
    "money": "the bank pays $5 interest on savings and stocks fall 3% today",
    "中文": "今天天气很好 我们去公园散步 🙂 很开心",
}
STRANGE = [
    "",
    " ",
    "_",
    "a I ß",
    "今天 很好 猫",
    "🙂🙂🙂",
    "🙂 cat",
    "The CAT's mat!!  İstanbul cat\tdog\ncats",
    "zzz qqq unknown",
    "cat " * 5000,
    "e\u0301te\u0301 naïve ½ cat",
]


def texts(classes: int) -> Any:
    """Shuffled words of a few sentences, ten texts for each class."""
    dice = np.random.default_rng(0)
    rows = [
        (" ".join(dice.permutation(sentence.split())[:8]), label)
        for label, sentence in list(SENTENCES.items())[:classes]
        for _ in range(10)
    ]
    return [text for text, _ in rows], [label for _, label in rows]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_file_gives_the_probabilities_of_scikit_learn_for_any_text(classes: int) -> None:
    every, labels = texts(classes)
    names = sorted(set(labels), reverse=True)
    models = text_baselines.fit_linear_models(every, labels)
    exported = text_baselines.exported(every, labels, names)
    assert list(exported) == list(models) == ["tf-idf + linear", "tf-idf with letters + linear"]
    for name, model in models.items():
        content = baselines.to_bytes(exported[name], "nlp", "any")
        state = onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"]
        assert state["classes"] == names
        for asked in (every, STRANGE, *([text] for text in STRANGE)):
            answers = softmax(onnx_model.predict(content, tokenization.encode(asked, state["vocabulary"])))
            assert np.abs(answers - softmax(model.scores(asked, names))).max() < 1e-5
        assert baselines.parity(content, exported[name].inputs, exported[name].expected, name)["max_difference"] < 1e-4


def test_counts_of_terms_are_those_of_scikit_learn() -> None:
    every, labels = texts(3)
    models = text_baselines.fit_linear_models(every, labels)["tf-idf with letters + linear"].vectorizers
    vocabulary = term_counts.vocabulary(*(model.get_feature_names_out().tolist() for model in models))
    first = len(models[0].vocabulary_)
    for text in [*every, *STRANGE]:
        (found,) = term_counts.encode([text], vocabulary)
        counts = np.zeros(first + len(models[1].vocabulary_), int)
        np.add.at(counts, found[:, 0], found[:, 1])
        for model, own in zip(models, (counts[:first], counts[first:]), strict=True):
            assert own.tolist() == CountVectorizer.transform(model, [text]).toarray()[0].tolist()


def test_inputs_are_as_long_as_the_longest_text_and_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = term_counts.vocabulary(["a", "a b", "b", "c"])
    assert term_counts.encode(["b a b", "", "c c"], vocabulary).tolist() == [
        [[2, 2], [0, 1], [1, 1]],
        [[0, 0]] * 3,
        [[3, 2], [0, 0], [0, 0]],
    ]
    assert term_counts.encode([], vocabulary).shape == (0, 1, 2)
    monkeypatch.setattr(term_counts, "MAX_TERMS", 2)
    assert term_counts.encode(["b a b"], vocabulary).tolist() == [[[2, 2], [0, 1]]]


def test_a_file_of_a_classic_model_is_read_by_the_predictor_and_explained(tmp_path: Any) -> None:
    from tasks.use_cases.nlp.predictor import Predictor

    every, labels = texts(2)
    rows = pd.DataFrame({"text": every * 2, "label": labels * 2, "truth": "", "tags": ""})
    content = exported_baselines.contents(Nlp(), rows)["tf-idf with letters + linear"]
    (tmp_path / "model.onnx").write_bytes(content)
    predictor = Predictor(tmp_path / "model.onnx")
    (answer,) = predictor.predict(["the dog and the cat"])
    assert answer["probabilities"]["pets"] > 0.5
    (weights,) = predictor.word_importance(["the bank and the stocks"])
    assert [word["start"] for word in weights] == [0, 4, 9, 13, 17]
    assert max(weights, key=lambda word: word["weight"])["start"] in (4, 17)
