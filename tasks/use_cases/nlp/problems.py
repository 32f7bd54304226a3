"""The problems of texts by the name of their task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.use_cases.nlp.ner.entity_tagging import EntityTagging
from tasks.use_cases.nlp.next_token_prediction import NextTokenPrediction
from tasks.use_cases.nlp.topics.topic_classification import TopicClassification

if TYPE_CHECKING:
    from tasks.core.problem import PreprocessingState
    from tasks.use_cases.nlp.text_problem import TextProblem

PROBLEMS: dict[str, TextProblem] = {
    "topics": TopicClassification(),
    "names": EntityTagging(),
    "words": NextTokenPrediction(),
}
"""`topics` and `words` are values of `model.task` in params.yaml; `names` is the task of tagged texts."""


def problem_of(state: PreprocessingState) -> TextProblem:
    """The problem that a preprocessing state was fitted for."""
    return PROBLEMS[state.get("task", "topics")]
