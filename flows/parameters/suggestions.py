"""Settings that suit a user's own data, for what the user left open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.parameters.run_request import resolve_own_path
from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.core.use_case import Suggestion, UseCase

MODEL_CHOICES = ("model.architecture", "model.file")
"""What is suggested is for one model; where the user chose another by one of these settings, nothing is."""


def for_run(root: Path, use_cases: Iterable[str], overrides: Mapping[str, Any], *, cwd: Path) -> tuple[dict[str, Any], list[str]]:
    """The overrides of a run and those suggested for data that they name, and a sentence for each use case.

    A use case whose stanza names data of the user's own is left as it is: its settings were written for them.
    """
    params = params_file.read_params(root / "params.yaml")
    changed, sentences = dict(overrides), list[str]()
    for name in tuple(use_cases) or tuple(params.use_cases):
        own = _of_use_case(overrides, name, params)
        if not {"fetch.path", "fetch.train"} & own.keys() or name not in registry.registered_names("use_cases"):
            continue
        stanza = params_file.with_default_stanzas(params, [name]).use_cases[name]
        fetch = stanza.get("fetch") or {}
        if fetch.get("path") or fetch.get("train"):
            continue
        paths = registry.build("use_cases", name, stanza).fetch.path_settings
        resolved = {dotted: resolve_own_path(dotted, value, cwd, paths) for dotted, value in own.items()}
        suggestion = for_stanza(name, name, params, stanza, resolved)
        changed |= {f"use_cases.{name}.{dotted}": value for dotted, value in suggestion.settings.items()}
        if suggestion.reason:
            sentences.append(described(suggestion))
    return changed, sentences


def for_stanza(
    name: str, template: str, params: params_file.Params, stanza: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Suggestion:
    """What the use case suggests for the user's own data, without settings that the user chose; nothing where that fails."""
    try:
        chosen = params_file.apply_overrides(
            params_file.parse_params({**params.as_dict(), "use_cases": {name: stanza}}), overrides, name
        ).use_cases[name]
        case = registry.build("use_cases", template, chosen)
        suggestion = case.suggested_settings() if isinstance(case, UseCase) else Suggestion()
    except UserError:
        return Suggestion()  # what is wrong is said when the whole stanza is checked, or by fetch
    if any(dotted in overrides and overrides[dotted] != suggestion.settings.get(dotted) for dotted in MODEL_CHOICES):
        return Suggestion()
    return replace(suggestion, settings={key: value for key, value in suggestion.settings.items() if key not in overrides})


def described(suggestion: Suggestion) -> str:
    """What is chosen for the data, and why."""
    values = ", ".join(f"{dotted}={value}" for dotted, value in suggestion.settings.items())
    return f"chosen for these data: {values} ({suggestion.reason})" if values else suggestion.reason


def _of_use_case(overrides: Mapping[str, Any], name: str, params: params_file.Params) -> dict[str, Any]:
    """The overrides of one use case, by names relative to its stanza."""
    prefix = f"use_cases.{name}."
    relative = {dotted: value for dotted, value in overrides.items() if dotted.partition(".")[0] not in params.as_dict()}
    return relative | {dotted.removeprefix(prefix): value for dotted, value in overrides.items() if dotted.startswith(prefix)}
