"""The values of `--set name=value`: text where a setting is text, a list of one where it is a list, else YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dvc.utils.serialize import loads_yaml
from ruamel.yaml.error import YAMLError

from tasks.core import params_file, registry
from tasks.core.errors import UserError

Kind = Literal["text", "list"]


def parse_overrides(assignments: Iterable[str], kinds: Mapping[str, Kind] | None = None) -> dict[str, Any]:
    """`["training.epochs=3"]` to `{"training.epochs": 3}`; values are parsed as YAML 1.2, as in params.yaml.

    Of a setting whose kind is `text` the characters after = are the value, as they are, but for quotation marks around all of
    them. One word for a setting whose kind is `list` is a list of one.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(f"--set {assignment!r} is not name=value; write it as in --set training.epochs=3")
        kind = (kinds or {}).get(_relative(name))
        if kind == "text" and not (len(text) > 1 and text[0] == text[-1] and text[0] in "'\""):
            overrides[name] = text
            continue
        try:
            value = loads_yaml(text) if text.strip() else ""
        except YAMLError:
            if kind != "list":
                raise UserError(f"--set {name}: {text!r} is not a YAML value; quote it if it is text") from None
            value = text
        if kind == "list" and not isinstance(value, list):
            value = [value if isinstance(value, (int, float)) and not isinstance(value, bool) else text] if text else []
        overrides[name] = value
    return overrides


def setting_kinds(root: Path, use_cases: Iterable[str]) -> dict[str, Kind]:
    """The settings of these use cases, of all if none is named, that are text or lists, by name relative to the stanza."""
    params = params_file.read_params(root / "params.yaml")
    kinds: dict[str, Kind] = {}
    for name in tuple(use_cases) or tuple(params.use_cases):
        if name not in registry.registered_names("use_cases"):
            continue  # refused with its nearest name when the request is built
        case = params_file.build_use_case(name, params_file.with_default_stanzas(params, [name]))
        for section in fields(case):
            values = getattr(case, section.name)
            if is_dataclass(values):
                kinds |= {f"{section.name}.{setting}": kind for setting, kind in _kinds(type(values)).items()}
    return kinds


def _kinds(section: type) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name, hint in get_type_hints(section).items():
        if hint is str or (get_origin(hint) is Literal and all(isinstance(value, str) for value in get_args(hint))):
            kinds[name] = "text"
        elif get_origin(hint) in (tuple, list):
            kinds[name] = "list"
    return kinds


def _relative(name: str) -> str:
    """The name relative to the stanza of a use case."""
    section, _, rest = name.partition(".")
    return rest.partition(".")[2] if section == "use_cases" else name
