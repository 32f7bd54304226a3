"""A use case's parameters as form widgets. Each is bound to a query parameter: a reload or a shared link keeps the choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.analysis.parameter_fields import Field, Form
from dashboard.text import formatting, translations
from dashboard.ui.locale import t, word

MAX_BUTTONS = 4
"""Choices that become buttons side by side; more become a list."""


def setting_widgets(form: Form) -> dict[str, Any]:
    """Draw a widget for every parameter, section by section; returns their values by name."""
    values: dict[str, Any] = {}
    for tab, section in zip(st.tabs([word("section", section) for section in form.sections]), form.sections, strict=True):
        with tab, st.grid(3, min_column_width=210, gap="medium"):
            for field in form.fields:
                if field.section == section:
                    values[field.name] = widget(form, field)
    return values


def widget(form: Form, field: Field) -> Any:
    """The widget of one parameter, whose value the URL keeps."""
    return value_widget(field, widget_key(form, field.name), bind="query-params")


def value_widget(field: Field, key: str, *, label: str = "", **shared: Any) -> Any:
    """The widget of one parameter with this key. It checks the bounds; what takes the value checks them again."""
    label = label or _label(field)
    shared = {"help": _help(field), "key": key, **shared}
    if field.kind == "switch":
        return st.toggle(label, bool(field.default), **shared)
    if field.kind == "choice":
        options = list(field.choices)
        default = t("run.default_choice")
        shared["format_func"] = lambda option: default if option == "" else formatting.clean(option, 60)
        if len(options) <= MAX_BUTTONS:
            return st.segmented_control(label, options, default=field.default, required=True, wrap=True, **shared)
        return st.selectbox(label, options, options.index(field.default) if field.default in options else 0, **shared)
    if field.kind == "whole":
        low, high = (None if bound is None else int(bound) for bound in (field.low, field.high))
        entered = st.number_input(label, low, high, int(field.default), step=1, **shared)
        return field.default if entered is None else entered
    if field.kind == "number":
        least, most = (None if bound is None else float(bound) for bound in (field.low, field.high))
        entered = st.number_input(label, least, most, float(field.default), step=step_size(field), format="%g", **shared)
        return field.default if entered is None else entered
    words = field.default if field.kind == "words" else parameter_fields.format_value(field.default)
    return parameter_fields.parse_value(field, str(st.text_input(label, str(words or ""), max_chars=2000, **shared) or ""))


def widget_key(form: Form, name: str) -> str:
    """A widget's key, which is also its query parameter. All use cases share the recipes' keys."""
    return name if name.startswith("recipes.") else f"{form.use_case}.{name}"


def step_size(field: Field) -> float:
    """The step of the + and - buttons: a tenth of the default, rounded to one digit."""
    size = abs(float(field.default)) or (field.high or 1.0) / 10
    return float(f"{size / 10:.0e}")


def fill(form: Form, values: Mapping[str, Any]) -> None:
    """Set the widgets' values before they are drawn: those in `values`, and the defaults of all others."""
    for field in form.fields:
        value = values.get(field.name, field.default)
        if field.kind == "yaml":
            value = parameter_fields.format_value(value)
        elif field.kind == "number":
            value = float(value)
        st.session_state[widget_key(form, field.name)] = value


def show_overrides(form: Form, overrides: Mapping[str, Any]) -> None:
    """List each override beside its default."""
    defaults = {field.name: field.default for field in form.fields}
    values = {
        name: [formatting.escape(parameter_fields.format_value(each)) for each in (defaults.get(name), value)]
        for name, value in overrides.items()
    }
    lines = [f"- `{name}` {before} → **{after}**" for name, (before, after) in values.items()]
    st.markdown("\n".join(lines))


def choose_recipes(form: Form) -> list[str]:
    """The recipes to compare with the dense baseline; an empty list stands for all."""
    offered = [name for name in form.recipes if name != parameter_fields.BASELINE]
    chosen = st.pills(
        t("run.recipes"),
        offered,
        selection_mode="multi",
        default=offered,
        key="recipes",
        bind="query-params",
        help=t("run.recipes_help"),
        wrap=True,
    )
    return [] if set(chosen) == set(offered) else [name for name in offered if name in chosen] or [parameter_fields.BASELINE]


def fill_recipes(form: Form, chosen: Iterable[str]) -> None:
    """Select these recipes before the widget is drawn; none stands for all."""
    chosen = list(chosen)
    st.session_state["recipes"] = [
        name for name in form.recipes if name != parameter_fields.BASELINE and (not chosen or name in chosen)
    ]


def label_of(name: str, step: str = "") -> str:
    """The label of a parameter by its dotted name: its translation, that of a compression step first, or else its last word."""
    last = name.rpartition(".")[2]
    for key in (f"step_setting.{step}_{last}", f"setting.{last}"):
        if translations.has(key):
            return formatting.escape(t(key))
    return formatting.escape(formatting.clean(last).replace("_", " ").capitalize())


def _label(field: Field) -> str:
    if field.section != "recipes":
        return label_of(field.name)
    _, recipe, _, step, *_ = field.name.split(".")
    return f"{formatting.escape(recipe)} · {formatting.escape(step)} · {label_of(field.name, step)}"


def _help(field: Field) -> str:
    bounds = ""
    if field.low is not None or field.high is not None:
        low = formatting.NOTHING if field.low is None else f"{field.low:g}"
        high = formatting.NOTHING if field.high is None else f"{field.high:g}"
        bounds = t("run.bounds", low=low, high=high)
    text = formatting.escape(field.help, 600)
    return "\n\n".join(filter(None, [text, bounds, f"`{field.name}` = `{parameter_fields.format_value(field.default)}`"]))
