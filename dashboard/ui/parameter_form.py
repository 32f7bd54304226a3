"""A use case's settings as widgets, each bound to the address: a half-made choice survives a reload and can be sent on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.analysis.parameter_fields import Field, Form
from dashboard.text import formatting, translations
from dashboard.ui.locale import t, word

FEW = 4
"""Choices that are all shown; more go into a list."""


def settings(form: Form) -> dict[str, Any]:
    """Draw every setting, section by section; gives what they hold now, by name."""
    values: dict[str, Any] = {}
    for tab, section in zip(st.tabs([word("section", section) for section in form.sections]), form.sections, strict=True):
        with tab, st.grid(3, min_column_width=210, gap="medium"):
            for field in form.fields:
                if field.section == section:
                    values[field.name] = widget(form, field)
    return values


def widget(form: Form, field: Field) -> Any:
    """One setting. Its bounds are checked here for comfort, and again where the run is asked for."""
    label = _label(field)
    told: dict[str, Any] = {"help": _help(field), "key": key(form, field.name), "bind": "query-params"}
    if field.kind == "switch":
        return st.toggle(label, bool(field.default), **told)
    if field.kind == "choice":
        options = list(field.choices)
        if len(options) <= FEW:
            return st.segmented_control(label, options, default=field.default, required=True, wrap=True, **told)
        return st.selectbox(label, options, options.index(field.default) if field.default in options else 0, **told)
    if field.kind == "whole":
        low, high = (None if bound is None else int(bound) for bound in (field.low, field.high))
        return st.number_input(label, low, high, int(field.default), step=1, required=True, **told)
    if field.kind == "number":
        least, most = (None if bound is None else float(bound) for bound in (field.low, field.high))
        return st.number_input(label, least, most, float(field.default), step=step(field), format="%g", required=True, **told)
    words = field.default if field.kind == "words" else parameter_fields.in_words(field.default)
    return parameter_fields.understand(field, str(st.text_input(label, str(words or ""), max_chars=2000, **told) or ""))


def key(form: Form, name: str) -> str:
    """A widget's key, and its name in the address. Recipes are shared by all use cases."""
    return name if name.startswith("recipes.") else f"{form.use_case}.{name}"


def step(field: Field) -> float:
    """What one press of + or - adds: a tenth of the value's size."""
    size = abs(float(field.default)) or (field.high or 1.0) / 10
    return float(f"{size / 10:.0e}")


def put(form: Form, values: Mapping[str, Any]) -> None:
    """Set widgets before they are drawn: the values given, and all others as they were at first."""
    for field in form.fields:
        value = values.get(field.name, field.default)
        if field.kind == "yaml":
            value = parameter_fields.in_words(value)
        elif field.kind == "number":
            value = float(value)
        st.session_state[key(form, field.name)] = value


def differences(form: Form, overrides: Mapping[str, Any]) -> None:
    """What was set, beside what it would be."""
    defaults = {field.name: field.default for field in form.fields}
    shown = {
        name: [formatting.escape(parameter_fields.in_words(each)) for each in (defaults.get(name), value)]
        for name, value in overrides.items()
    }
    lines = [f"- `{name}` {before} → **{after}**" for name, (before, after) in shown.items()]
    st.markdown("\n".join(lines))


def recipes(form: Form) -> list[str]:
    """Which recipes to compare with the dense baseline; an empty list stands for all."""
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


def put_recipes(form: Form, chosen: Iterable[str]) -> None:
    chosen = list(chosen)
    st.session_state["recipes"] = [
        name for name in form.recipes if name != parameter_fields.BASELINE and (not chosen or name in chosen)
    ]


def _label(field: Field) -> str:
    """The setting's name for people: by the catalogue, or as the dataclass has it."""
    words = field.name.split(".")
    name = words[-1]
    label = t(f"setting.{name}") if translations.has(f"setting.{name}") else formatting.clean(name).replace("_", " ").capitalize()
    return formatting.escape(f"{words[1]} · {words[3]} · {label}" if field.section == "recipes" else label)


def _help(field: Field) -> str:
    bounds = ""
    if field.low is not None or field.high is not None:
        low = formatting.NOTHING if field.low is None else f"{field.low:g}"
        high = formatting.NOTHING if field.high is None else f"{field.high:g}"
        bounds = t("run.bounds", low=low, high=high)
    told = formatting.escape(field.help, 600)
    return "\n\n".join(filter(None, [told, bounds, f"`{field.name}` = `{parameter_fields.in_words(field.default)}`"]))
