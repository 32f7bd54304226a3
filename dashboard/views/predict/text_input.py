"""Type a sentence, and see what each model makes of it, word by word."""

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
from dashboard.views.predict import model_comparison
from dashboard.views.predict.model_comparison import ComparedModel
from tasks.core.use_case import UseCase

MOST_LETTERS = 5000
EXAMPLES = 4


def show(artifacts: Artifacts, case: UseCase, ring: Sequence[ComparedModel]) -> None:
    """A box to type in, some sentences of the test rows to begin with, and the answers."""
    said = st.text_area(t("try_it.text"), key="said", max_chars=MOST_LETTERS, height=110, placeholder=t("try_it.text_hint"))
    examples = _examples(artifacts)
    with st.container(horizontal=True):
        if examples:
            st.caption(t("try_it.examples"), width="content")
        for number, text in enumerate(examples):
            st.button(
                formatting.escape(text, 40),
                type="tertiary",
                key=f"take_{number}",
                on_click=_take,
                args=(text,),
                help=t("try_it.take"),
            )
    if not said or not said.strip():
        st.info(t("try_it.type_first"), icon=":material/edit:")
        return
    rows = model_inputs.sentence(case, said, ring[0].model)
    if fix := str(rows["fix"].iloc[0]):
        st.caption(t("try_it.mended", fixes=formatting.escape(fix, 200)))
    for place, contestant in zip(st.columns(len(ring), gap="medium"), ring, strict=True):
        with place, st.container(border=True), page_context.or_say():
            model = contestant.model
            inputs = model_inputs.encoded(case, model, rows)
            outputs = model.outputs(inputs)
            if outputs.ndim != 2 or not model.classes:
                raise Unreadable("try_it.no_classes")
            shares = onnx_models.shares(outputs)[0]
            model_comparison.verdict(contestant, shares, inputs)
            st.caption(t("try_it.words"))
            highlighted_text.weighed(
                model_inputs.spoke_for(case, model, rows, int(shares.argmax())), key=f"words_{contestant.recipe}"
            )


def _examples(artifacts: Artifacts) -> list[str]:
    try:
        rows = artifacts.whole_rows("clean/rows", [model_inputs.TEXT], [("split", "==", "test")])
    except Unreadable:
        return []
    return [str(text)[:MOST_LETTERS] for text in rows[model_inputs.TEXT].head(EXAMPLES)]


def _take(text: str) -> None:
    st.session_state["said"] = text
