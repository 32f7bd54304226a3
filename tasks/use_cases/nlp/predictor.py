"""Predictions of a released text model, from its ONNX file alone and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.text import normalization
from tasks.use_cases.nlp.problems import problem_of

if TYPE_CHECKING:
    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import Array


class Predictor:
    """A released model, loaded: `Predictor(Path("data/nlp/release/model.onnx")).predict(["some text"])`."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.state: PreprocessingState = onnx_model.read_metadata(onnx_model.from_bytes(content)).get("learnt", {})
        if "vocabulary" not in self.state:
            raise UserError(f"{path} reads no texts; name the model.onnx of a release of texts, as in data/nlp/release")
        self.session = onnx_model.create_session(content)
        self.problem = problem_of(self.state)

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One answer per text: `probabilities` by class (topics), `entities` (names) or `perplexity` (words)."""
        repaired = _repair(texts)
        outputs = self._run(self.problem.encode_texts(repaired, self.state))
        return self.problem.answers(repaired, outputs, self.state)

    def word_importance(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """For each text the weight of each word of the repaired text for the most probable class, as `{start, end, weight}`.

        The lists are empty for problems other than topics.
        """
        return self.problem.explain(_repair(texts), self.state, self._run)

    def _run(self, inputs: Array) -> Array:
        outputs: Array = self.session.run(None, {"inputs": inputs})[0]
        return outputs


def _repair(texts: Sequence[str]) -> list[str]:
    return [normalization.repair(text)[0] for text in texts]
