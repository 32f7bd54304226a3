"""Predictions for a typed text, with the contribution of each word."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import highlighted_text
from dashboard.readers import model_inputs, onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.text import formatting
from dashboard.ui import page_context
from dashboard.ui.locale import t
from dashboard.views.predict import abstention, model_comparison
from dashboard.views.predict.model_comparison import ComparedModel
from tasks.core.use_case import UseCase

MAX_CHARS = 5000
MAX_EXAMPLES = 4


def show(artifacts: Artifacts, case: UseCase, models: Sequence[ComparedModel]) -> None:
    """A text box, examples from the test rows, and the predictions of each model."""
    text = st.text_area(t("try_it.text"), key="said", max_chars=MAX_CHARS, height=110, placeholder=t("try_it.text_hint"))
    examples = _examples(artifacts)
    with st.container(horizontal=True):
        if examples:
            st.caption(t("try_it.examples"), width="content")
        for number, example in enumerate(examples):
            st.button(
                formatting.escape(example, 40),
                type="tertiary",
                key=f"take_{number}",
                on_click=_use_example,
                args=(example,),
                help=t("try_it.take"),
            )
    if not text or not text.strip():
        st.info(t("try_it.type_first"), icon=":material/edit:")
        return
    rows = model_inputs.row_from_text(case, text, models[0].model)
    if fix := str(rows["fix"].iloc[0]):
        st.caption(t("try_it.repaired", fixes=formatting.escape(fix, 200)))
    for column, compared in zip(st.columns(len(models), gap="medium"), models, strict=True):
        with column, st.container(border=True), page_context.error_boundary():
            model = compared.model
            inputs = model_inputs.encode(case, model, rows)
            outputs = model.outputs(inputs)
            if outputs.ndim != 2 or not model.classes:
                raise Unreadable("try_it.no_classes")
            shares = onnx_models.softmax(outputs)[0]
            model_comparison.prediction_card(compared, shares, inputs)
            abstention.show(model, outputs, inputs)
            st.caption(t("try_it.word_contributions"))
            highlighted_text.highlight_contributions(
                model_inputs.word_contributions(case, model, rows, int(shares.argmax())), key=f"words_{compared.recipe}"
            )


def _examples(artifacts: Artifacts) -> list[str]:
    try:
        rows = artifacts.rows_with_columns("clean/rows", [model_inputs.TEXT], [("split", "==", "test")])
    except Unreadable:
        return []
    return [str(text)[:MAX_CHARS] for text in rows[model_inputs.TEXT].head(MAX_EXAMPLES)]


def _use_example(text: str) -> None:
    st.session_state["said"] = text
