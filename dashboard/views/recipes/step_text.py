"""Names, explanations and settings of compression steps in the reader's language."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.text import formatting, translations
from dashboard.ui import parameter_form
from dashboard.ui.locale import t, word
from tasks.core import registry
from tasks.core.errors import UserError


def about(kind: str) -> str:
    """What a step does: its translation, or the first line of its own description."""
    if translations.has(f"step_about.{kind}"):
        return t(f"step_about.{kind}")
    try:
        text = inspect.getdoc(registry.find_class(registry.STEPS_FOLDER, kind)) or ""
    except UserError:
        return ""
    return formatting.escape(text.partition("\n")[0], 300)


def changes(kind: str) -> str:
    """Whether a step changes the `network` or the `format`; empty for an unknown one."""
    try:
        return str(getattr(registry.find_class(registry.STEPS_FOLDER, kind), "changes", ""))
    except UserError:
        return ""


def badges(steps: Sequence[Mapping[str, Any]]) -> None:
    """The steps of a recipe in their order, each as a badge."""
    for position, step in enumerate(steps):
        (kind,) = step
        if position:
            st.markdown("→", width="content")
        st.badge(word("step", kind), color="blue" if changes(kind) == "network" else "violet", help=about(kind) or None)


def settings(steps: Sequence[Mapping[str, Any]]) -> str:
    """The settings of all steps that a recipe writes out, step by step."""
    parts = []
    for step in steps:
        ((kind, knobs),) = step.items()
        pairs = [
            f"{parameter_form.label_of(name, kind)} {formatting.escape(parameter_fields.format_value(value), 80)}"
            for name, value in parameter_fields.flat(knobs or {}).items()
        ]
        if pairs:
            parts.append(f"{word('step', kind)}: {', '.join(pairs)}")
    return " · ".join(parts)


def line(steps: Sequence[Mapping[str, Any]]) -> str:
    """The names of the steps on one line."""
    return " → ".join(word("step", kind) for step in steps for kind in step) or t("recipes.no_steps")
