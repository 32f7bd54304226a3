"""The registry of use cases, architectures and compression steps: find one by its file's name and build it from parameters."""

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
SHARED_FOLDER, SHARED_NETWORKS = "core/networks", ("own_network", "onnx_file")
"""Networks that every use case can take, those of a person's own."""


def registered_names(folder: str) -> list[str]:
    """The names in a folder of `tasks/`, sorted, without importing a module.

    In `use_cases` these are the packages that hold a `use_case.py`; in `compression/steps` and `models/<use case>` the modules.
    """
    if folder == "use_cases":
        return sorted(path.parent.name for path in (TASKS_FOLDER / folder).glob("[!_]*/use_case.py"))
    return sorted(path.stem for path in (TASKS_FOLDER / folder).glob("[!_]*.py"))


def architectures(use_case: str) -> list[str]:
    """The architectures of a use case: the choices of its setting `model.architecture`."""
    return registered_names(f"models/{use_case}")


def find_class(folder: str, name: str) -> type:
    """The class with that name: `find_class("models/vision", "cnn")` is `tasks.models.vision.cnn.Cnn`."""
    if name not in registered_names(folder):
        raise UserError(unknown_name(f"{folder} has no", name, registered_names(folder)))
    module = f"tasks.{folder.replace('/', '.')}.{name}" + (".use_case" if folder == "use_cases" else "")
    cls: type = getattr(import_module(module), name.title().replace("_", ""))
    return cls


def build(folder: str, name: str, parameters: Mapping[str, Any], where: str = "") -> Any:
    """`build("use_cases", "vision", {...})` is `Vision(...)`. Raises a `UserError` that begins with `where`."""
    cls = find_class(folder, name)
    try:
        return cls(**parameters)
    except pydantic.ValidationError as error:
        raise UserError(_validation_message(error, cls, where or f"{folder}.{name}")) from None


def build_network(use_case: str, architecture: str, parameters: Mapping[str, Any]) -> Any:
    """A new network of `tasks/models/<use case>/<architecture>.py`, or a shared one."""
    return build(SHARED_FOLDER if architecture in SHARED_NETWORKS else f"models/{use_case}", architecture, parameters)


def unknown_name(what: str, name: str, valid: Iterable[str]) -> str:
    """A message in one line: the unknown name, the nearest valid one, and all valid ones."""
    valid = list(valid)
    near = get_close_matches(name, valid, n=1)
    return f"{what} {name!r}; " + (f"did you mean {near[0]!r}? " if near else "") + f"There is: {', '.join(valid) or 'nothing'}"


def _validation_message(error: pydantic.ValidationError, owner: type, where: str) -> str:
    """All errors of some parameters, in one line."""
    messages = []
    for details in error.errors():
        path = [str(part) for part in details["loc"]]
        place = ".".join([where, *path[:-1]])
        if details["type"] == "unexpected_keyword_argument":
            field_names = _field_names(owner, path[:-1])
            near = get_close_matches(path[-1], field_names, n=1)
            nearest = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(field_names)}"
            messages.append(f"{place} has no {path[-1]!r}; {nearest}")
        else:
            reason = details["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
            got = "" if isinstance(details["input"], dict) else f", got {details['input']!r}"
            messages.append(f"{'.'.join([where, *path])}: {reason}{got}")
    return "; ".join(messages)


def _field_names(owner: Any, path: list[str]) -> list[str]:
    """The fields of the dataclass at `path` below `owner`, found through the fields' defaults."""
    for name in path:
        default = next((field.default for field in fields(owner) if field.name == name), None) if is_dataclass(owner) else None
        owner = default if default is not None and is_dataclass(default) else None
        if isinstance(default, pydantic.fields.FieldInfo):
            owner = default.get_default(call_default_factory=True, validated_data={})
    return [field.name for field in fields(owner)] if is_dataclass(owner) else []
