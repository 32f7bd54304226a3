"""Predictions of a released text model, from its ONNX file alone and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.metrics import classification
from tasks.text import normalization, tokenization
from tasks.use_cases.nlp import language_modeling
from tasks.use_cases.nlp.ner import entity_metrics, token_features
from tasks.use_cases.nlp.topics import occlusion

if TYPE_CHECKING:
    from tasks.core.use_case import Array, PreprocessingState


class Predictor:
    """A released model, loaded: `Predictor(Path("data/nlp/release/model.onnx")).predict(["some text"])`."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.state: PreprocessingState = onnx_model.read_metadata(onnx_model.from_bytes(content)).get("learnt", {})
        if "vocabulary" not in self.state:
            raise UserError(f"{path} reads no texts; name the model.onnx of a release of texts, as in data/nlp/release")
        self.session = onnx_model.create_session(content)
        self.task = str(self.state.get("task", "topics"))

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One answer per text: for topics `probabilities` by class, for names `entities`, for words `perplexity`."""
        repaired = [normalization.repair(text)[0] for text in texts]
        outputs = self._outputs(repaired)
        if self.task == "names":
            return [self._names(text, row) for text, row in zip(repaired, outputs, strict=True)]
        if self.task == "words":
            losses = [-float(row.sum()) / max(1, int((row != 0).sum())) for row in outputs]
            return [{"perplexity": float(np.exp(value))} for value in losses]
        classes = list(self.state["classes"])
        shares = classification.softmax(outputs)
        return [{"probabilities": dict(zip(classes, map(float, row), strict=True))} for row in shares]

    def word_importance(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """What each word of the mended text was worth to the likeliest class: `{start, end, weight}`; for topics only."""
        repaired = [normalization.repair(text)[0] for text in texts]
        return occlusion.word_importance(repaired, self._outputs) if self.task == "topics" else [[] for _ in texts]

    def _outputs(self, texts: Sequence[str]) -> Array:
        if self.task == "names":
            numbers = token_features.encode_texts(texts, self.state)
        elif self.task == "words":
            numbers = language_modeling.encode_texts(texts, self.state)[0]
        else:
            numbers = tokenization.encode(texts, self.state["vocabulary"])
        outputs: Array = self.session.run(None, {"inputs": numbers})[0]
        return outputs

    def _names(self, one: str, scores_LKK: Array) -> dict[str, Any]:
        words, tags = one.split(), list(self.state["tags"])
        length = min(len(words), len(scores_LKK))
        path, _ = entity_metrics.viterbi(scores_LKK[None], np.array([length]), tags)
        spans = entity_metrics.entity_spans([tags[number] for number in path[0, :length]])
        return {"entities": [{"kind": kind, "text": " ".join(words[start:stop])} for kind, start, stop in spans]}
