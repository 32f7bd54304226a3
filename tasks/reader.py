"""A released file of the use case of texts answers a sentence: no torch, nothing beside the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import classification, entities, explaining, export, next_words, tagging, text, vocabulary
from tasks.contracts import Mistake

if TYPE_CHECKING:
    from tasks.contracts import Array, Learnt


class Reader:
    """A released model, loaded: `Reader(Path("data/nlp/release/model.onnx")).answers(["some text"])`."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.learnt: Learnt = export.read_metadata(export.from_bytes(content)).get("learnt", {})
        if "vocabulary" not in self.learnt:
            raise Mistake(f"{path} reads no texts; name the model.onnx of a release of texts, as in data/nlp/release")
        self.session = export.session(content)
        self.task = str(self.learnt.get("task", "topics"))

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One answer per text: for topics `probabilities` by class, for names `entities`, for words `perplexity`."""
        mended = [text.mend(one)[0] for one in texts]
        outputs = self._outputs(mended)
        if self.task == "names":
            return [self._names(one, row) for one, row in zip(mended, outputs, strict=True)]
        if self.task == "words":
            told = [-float(row.sum()) / max(1, int((row != 0).sum())) for row in outputs]
            return [{"perplexity": float(np.exp(value))} for value in told]
        classes = list(self.learnt["classes"])
        shares = classification.softmax(outputs)
        return [{"probabilities": dict(zip(classes, map(float, row), strict=True))} for row in shares]

    def worth(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """What each word of the mended text was worth to the likeliest class: `{start, end, weight}`; for topics only."""
        mended = [text.mend(one)[0] for one in texts]
        return explaining.words_worth(mended, self._outputs) if self.task == "topics" else [[] for _ in texts]

    def _outputs(self, texts: Sequence[str]) -> Array:
        if self.task == "names":
            numbers = tagging.numbers(texts, self.learnt)
        elif self.task == "words":
            numbers = next_words.numbers(texts, self.learnt)[0]
        else:
            numbers = vocabulary.encode(texts, self.learnt["vocabulary"])
        found: Array = self.session.run(None, {"inputs": numbers})[0]
        return found

    def _names(self, one: str, scores_LKK: Array) -> dict[str, Any]:
        words, tags = one.split(), list(self.learnt["tags"])
        length = min(len(words), len(scores_LKK))
        path, _ = entities.best_paths(scores_LKK[None], np.array([length]), tags)
        spans = entities.spans([tags[number] for number in path[0, :length]])
        return {"entities": [{"kind": kind, "text": " ".join(words[start:stop])} for kind, start, stop in spans]}
