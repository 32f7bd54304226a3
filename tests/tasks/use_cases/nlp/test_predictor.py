"""Text in means answer out, from the released file alone and without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core.errors import UserError
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.predictor import Predictor
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp

ROWS = pd.DataFrame(
    {
        "text": ["the cat purrs here", "the dog barks here"] * 20,
        "label": ["cat", "dog"] * 20,
        "subset": "",
        "truth": "",
        "tags": ["O B-PET O O"] * 40,
    }
)


def released(case: Any, folder: Any) -> Any:
    """A model.onnx of an unfitted network, and its numbers and outputs for the rows."""
    torch.manual_seed(0)
    state = case.fit_preprocessing(ROWS)
    network = case.build_model(state).eval()
    inputs, _ = case.encode(ROWS, state)
    path = folder / "model.onnx"
    path.write_bytes(onnx_export.to_onnx(network, inputs, case.export_state(state, network), "nlp"))
    return path, case.problem.decode(ROWS, network(torch.from_numpy(inputs)).detach().numpy(), state)


def test_topics_are_probabilities_by_class(tmp_path: Path) -> None:
    path, expected = released(Nlp(), tmp_path)
    reader = Predictor(path)
    (answer, _) = reader.predict(ROWS["text"].to_list()[:2])
    assert list(answer["probabilities"]) == ["cat", "dog"]
    np.testing.assert_allclose(list(answer["probabilities"].values()), expected["probabilities"].iloc[0], atol=1e-5)
    assert len(reader.word_importance(["the cat purrs"])[0]) == 3


def test_names_are_entities_with_words_and_kind(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("cat B-PET\n")
    path, expected = released(Nlp(fetch=TextFetch(path=str(file))), tmp_path)
    (answer,) = Predictor(path).predict([ROWS["text"].iloc[0]])
    named = sum(tag.startswith("B-") for tag in expected["predicted"].iloc[0].split())
    assert len(answer["entities"]) == named


def test_a_language_model_returns_the_perplexity_of_a_text(tmp_path: Path) -> None:
    path, expected = released(Nlp(model=TextModel(task="words")), tmp_path)
    (answer,) = Predictor(path).predict([ROWS["text"].iloc[0]])
    perplexity = np.exp(-expected["log_likelihood"].iloc[0] / expected["pieces"].iloc[0])
    assert answer["perplexity"] == pytest.approx(perplexity, rel=1e-3)


def test_a_file_that_reads_no_texts_is_refused(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    network.fields = {}  # type: ignore[assignment]
    (tmp_path / "model.onnx").write_bytes(
        onnx_export.to_onnx(network, np.zeros((2, 2), np.float32), {"classes": ["a"]}, "vision")
    )
    with pytest.raises(UserError, match="reads no texts"):
        Predictor(tmp_path / "model.onnx")


def test_it_works_without_torch() -> None:
    code = "import tasks.use_cases.nlp.predictor, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])
