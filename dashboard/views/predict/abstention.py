"""Why a model abstains, in words beside its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.text import formatting
from dashboard.ui.locale import t
from tasks.inference.loaded_model import LoadedModel
from tasks.metrics import uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CLASSES = 4
"""The most classes of a prediction set that are named."""


def show(model: LoadedModel, outputs: NDArray[Any], inputs: NDArray[Any]) -> None:
    """A note if the model abstains from its one row, with outputs (1, ...) and inputs (1, ...); nothing if it answers."""
    reading = model.reading(outputs, inputs)
    if reading is not None:
        names = model.classes or [str(number) for number in range(reading.prediction_sets.shape[1])]
        order = (-reading.probabilities[0]).argsort(kind="stable")
        show_reason(reading.reasons[0], [names[k] for k in order if reading.prediction_sets[0, k]])


def show_reason(reason: str, prediction_set: Sequence[str]) -> None:
    """A note with the reason of an abstention; nothing for the empty reason of an answer."""
    if text := reason_text(reason, prediction_set):
        st.warning(text, icon=":material/help:")


def reason_text(reason: str, prediction_set: Sequence[str]) -> str:
    """The reason of an abstention as a sentence, empty for an answer."""
    if reason == uncertainty.OUT_OF_DISTRIBUTION:
        return t("try_it.out_of_distribution")
    if reason != uncertainty.UNDECIDED:
        return ""
    names = [formatting.escape(name, 40) for name in prediction_set]
    if len(names) > MAX_CLASSES:
        names = [*names[: MAX_CLASSES - 1], t("try_it.more_classes", count=len(names) - MAX_CLASSES + 1)]
    return t("try_it.undecided", classes=t("try_it.and", first=", ".join(names[:-1]), last=names[-1]))
