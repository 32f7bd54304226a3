"""The editor of one recipe: its name, and its steps with their settings. What would change in params.yaml is shown first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.analysis.parameter_fields import Field
from dashboard.text import formatting
from dashboard.ui import page_context, parameter_form
from dashboard.ui.locale import t, word
from dashboard.views.recipes import params_change, step_text
from flows.parameters import params_edits
from tasks.core import registry
from tasks.core.errors import UserError

DRAFT = "recipe_draft"
"""Session state: the recipe that is being edited."""
NAME_KEY = "recipe_name"
COLUMN_WIDTH = 210
NUMBERS = itertools.count()


@dataclass(slots=True)
class DraftStep:
    """A step in the editor."""

    number: int
    """No other step of any recipe in the editor has had it: the keys of its widgets hold it."""
    kind: str
    written: dict[str, Any] = field(default_factory=dict)
    """The settings that the recipe wrote out before, by dotted name."""
    starts: dict[str, Any] = field(default_factory=dict)
    """What the widgets began with."""
    values: dict[str, Any] = field(default_factory=dict)
    """What the widgets held when they were last drawn."""

    def key(self, name: str) -> str:
        return f"recipe_step_{self.number}_{name}"


@dataclass(slots=True)
class Draft:
    """A recipe in the editor; `replaces` is the name of the one that it came from, empty for a new one."""

    replaces: str = ""
    opened: list[dict[str, Any]] | None = None
    name: str = ""
    steps: list[DraftStep] = field(default_factory=list)

    def add(self, kind: str, written: Mapping[str, Any]) -> None:
        """Add a step: one that changes the network before the first that changes the format, or else at the end."""
        formats = [place for place, step in enumerate(self.steps) if step_text.changes(step.kind) == "format"]
        place = formats[0] if formats and step_text.changes(kind) == "network" else len(self.steps)
        self.steps.insert(place, DraftStep(next(NUMBERS), kind, dict(written)))

    def may_swap(self, place: int) -> bool:
        """Whether the steps at `place` and after it may change places."""
        if not 0 <= place < len(self.steps) - 1:
            return False
        return step_text.changes(self.steps[place].kind) == step_text.changes(self.steps[place + 1].kind)

    def swap(self, place: int) -> None:
        self.steps[place], self.steps[place + 1] = self.steps[place + 1], self.steps[place]


def current() -> Draft | None:
    """The recipe that is being edited."""
    return st.session_state.get(DRAFT)


def open_new() -> None:
    """Open the editor for a new recipe."""
    _open(Draft(), ())


def open_recipe(name: str, steps: Sequence[Mapping[str, Any]]) -> None:
    """Open the editor for a recipe of params.yaml."""
    _open(Draft(replaces=name, opened=[dict(step) for step in steps], name=name), steps)


def open_copy(name: str, steps: Sequence[Mapping[str, Any]]) -> None:
    """Open the editor for a new recipe with the steps of another."""
    _open(Draft(name=f"{name}-2"), steps)


def _open(draft: Draft, steps: Sequence[Mapping[str, Any]]) -> None:
    st.session_state[DRAFT] = draft
    st.session_state.pop(NAME_KEY, None)
    for step in steps:
        ((kind, knobs),) = step.items()
        draft.add(kind, parameter_fields.flat(knobs or {}))


def close() -> None:
    """Close the editor without writing anything."""
    st.session_state.pop(DRAFT, None)


@st.fragment
def editor(root: Path, draft: Draft, taken: Sequence[str]) -> None:
    """The editor. It is a fragment: an edit of a setting reruns only this part of the page."""
    with page_context.error_boundary(), st.container(border=True, key="recipe_editor"):
        st.markdown(
            f"**{t('recipes.edit_title', recipe=formatting.escape(draft.replaces)) if draft.replaces else t('recipes.new')}**"
        )
        steps, problem = [], ""
        step_slot = st.container()
        _step_buttons(draft)
        with step_slot:
            for place, step in enumerate(draft.steps):
                try:
                    steps.append(_step(draft, place, step))
                except UserError as error:
                    problem = str(error)
        suggested = suggested_name([step.kind for step in draft.steps], taken)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if NAME_KEY not in st.session_state:
                st.session_state[NAME_KEY] = draft.name
            typed = draft.name = str(
                st.text_input(t("recipes.name"), key=NAME_KEY, max_chars=64, placeholder=suggested or None, width=280) or ""
            )
            name = typed.strip() or suggested
            edit = None
            if draft.steps and not problem:
                try:
                    edit = params_edits.with_recipe(root, name, steps, replaces=draft.replaces, opened=draft.opened)
                except UserError as error:
                    problem = str(error)
            pressed = st.button(
                t("recipes.save"), type="primary", icon=":material/save:", key="save_recipe", disabled=edit is None
            )
            if st.button(t("recipes.cancel"), type="tertiary", icon=":material/close:", key="close_recipe", on_click=close):
                st.rerun()
        if problem:
            st.warning(formatting.capitalized(formatting.escape(problem, 800)), icon=":material/warning:")
        elif edit is None:
            st.caption(t("recipes.add_step_first"))
        else:
            with st.expander(t("recipes.diff"), icon=":material/difference:"):
                params_change.diff(edit)
        if pressed and edit is not None:
            key = "recipes.saved" if draft.replaces else "recipes.added"
            if params_change.write(root, edit, t(key, recipe=formatting.escape(name, 64))):
                close()
            st.rerun()


def suggested_name(kinds: Sequence[str], taken: Sequence[str]) -> str:
    """A free name for a recipe of these steps, such as `prune-quantize`; empty without steps."""
    base = "-".join(kinds)[:60]
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    return next((name for name in names if name and name not in taken), "")


def _step_buttons(draft: Draft) -> None:
    st.caption(t("recipes.add_step"))
    with st.container(horizontal=True, gap="xsmall"):
        for kind in registry.registered_names(registry.STEPS_FOLDER):
            st.button(
                word("step", kind),
                icon=":material/add:",
                key=f"add_step_{kind}",
                help=step_text.about(kind) or None,
                on_click=draft.add,
                args=(kind, {}),
            )


def _step(draft: Draft, place: int, step: DraftStep) -> dict[str, Any]:
    """The box of one step; returns it as in params.yaml. Raises `UserError` for an unknown step or a value that is no YAML."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(f"**{place + 1}. {word('step', step.kind)}**", width="stretch")
            _icon_button(
                "recipes.up", ":material/arrow_upward:", f"up_{step.number}", draft.swap, place - 1, draft.may_swap(place - 1)
            )
            _icon_button(
                "recipes.down", ":material/arrow_downward:", f"down_{step.number}", draft.swap, place, draft.may_swap(place)
            )
            _icon_button("recipes.remove_step", ":material/delete:", f"drop_{step.number}", draft.steps.pop, place, True)
        st.caption(step_text.about(step.kind))
        fields = _fields(step.kind)
        plain = [each for each in fields if not _is_special(each)]
        values = _widgets(step, plain)
        if special := [each for each in fields if _is_special(each)]:
            with st.expander(t("recipes.more")):
                values |= _widgets(step, special)
    defaults = {each.name: each.default for each in fields}
    written = {
        name: value
        for name, value in values.items()
        if name in step.written or not parameter_fields.same_value(value, defaults[name])
    }
    unknown = {name: value for name, value in step.written.items() if name not in defaults}
    return {step.kind: parameter_fields.nested({**unknown, **written})}


def _icon_button(key: str, icon: str, widget_key: str, callback: Any, place: int, enabled: bool) -> None:
    st.button(t(key), icon=icon, key=widget_key, type="tertiary", on_click=callback, args=(place,), disabled=not enabled)


def _widgets(step: DraftStep, fields: Sequence[Field]) -> dict[str, Any]:
    values = {}
    with st.grid(4, min_column_width=COLUMN_WIDTH, gap="medium"):
        for each in fields:
            key = step.key(each.name)
            if key not in st.session_state:  # it was not drawn yet, or another view was open meanwhile
                held = step.values.get(each.name, step.written.get(each.name, each.default))
                step.starts[each.name] = held if each.allows(held) else each.default
            field_now = replace(each, default=step.starts[each.name])
            label = parameter_form.label_of(each.name, step.kind)
            values[each.name] = parameter_form.value_widget(field_now, key, label=label)
    step.values |= values
    return values


def _is_special(each: Field) -> bool:
    """Whether a setting is one of a nested group, or a mapping: few recipes have it."""
    return "." in each.name or each.kind == "yaml"


def _fields(kind: str) -> list[Field]:
    """The settings of a step with its own defaults."""
    return [each for each in parameter_fields.step_fields(kind, {}) if each.label not in parameter_fields.COMPUTED]
