"""Find a thing by the name of its file, build it strictly from its parameters, and say "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import pydantic

from tasks.core.errors import UserError

TASKS_FOLDER = Path(__file__).parents[1]
STEPS_FOLDER = "compression/steps"


def registered_names(folder: str) -> list[str]:
    """What a folder of `tasks/` offers, sorted, without importing any of it.

    In `use_cases` these are the packages that hold a `use_case.py`; in `compression/steps` and `models/<use case>` the modules.
    """
    if folder == "use_cases":
        return sorted(path.parent.name for path in (TASKS_FOLDER / folder).glob("[!_]*/use_case.py"))
    return sorted(path.stem for path in (TASKS_FOLDER / folder).glob("[!_]*.py"))


def find_class(folder: str, name: str) -> type:
    """The class of that name: `find_class("models/vision", "cnn")` is `tasks.models.vision.cnn.Cnn`."""
    if name not in registered_names(folder):
        raise UserError(unknown_name(f"{folder} has no", name, registered_names(folder)))
    module = f"tasks.{folder.replace('/', '.')}.{name}" + (".use_case" if folder == "use_cases" else "")
    found: type = getattr(import_module(module), name.title().replace("_", ""))
    return found


def build(folder: str, name: str, parameters: Mapping[str, Any], where: str = "") -> Any:
    """`build("use_cases", "vision", {...})` is `Vision(...)`, or a `UserError` that names the place in `where`."""
    found = find_class(folder, name)
    try:
        return found(**parameters)
    except pydantic.ValidationError as error:
        raise UserError(_validation_message(error, found, where or f"{folder}.{name}")) from None


def build_network(use_case: str, architecture: str, parameters: Mapping[str, Any]) -> Any:
    """A fresh network from `tasks/models/<use case>/<architecture>.py`."""
    return build(f"models/{use_case}", architecture, parameters)


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """One line: what came, the nearest right thing, and all there is."""
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"{what} {name!r}; " + (f"did you mean {near[0]!r}? " if near else "") + f"There is: {', '.join(known) or 'nothing'}"


def _validation_message(error: pydantic.ValidationError, owner: type, where: str) -> str:
    """All that is wrong with some parameters, in one line."""
    said = []
    for found in error.errors():
        path = [str(part) for part in found["loc"]]
        place = ".".join([where, *path[:-1]])
        if found["type"] == "unexpected_keyword_argument":
            known = _field_names(owner, path[:-1])
            near = get_close_matches(path[-1], known, n=1)
            nearest = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            said.append(f"{place} has no {path[-1]!r}; {nearest}")
        else:
            reason = found["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
            got = "" if isinstance(found["input"], dict) else f", got {found['input']!r}"
            said.append(f"{'.'.join([where, *path])}: {reason}{got}")
    return "; ".join(said)


def _field_names(owner: Any, path: list[str]) -> list[str]:
    """The parameters of the dataclass found by following `path` from `owner` through defaults."""
    for word in path:
        default = next((field.default for field in fields(owner) if field.name == word), None) if is_dataclass(owner) else None
        owner = default if default is not None and is_dataclass(default) else None
        if isinstance(default, pydantic.fields.FieldInfo):
            owner = default.get_default(call_default_factory=True, validated_data={})
    return [field.name for field in fields(owner)] if is_dataclass(owner) else []
