"""Checked edits of params.yaml: recipes and settings. Each is shown as a diff first, written as a whole, and can be undone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.utils.serialize import loads_yaml

from flows.parameters import yaml_edit
from flows.system.file_locks import hold_lock
from tasks.core import params_file, registry
from tasks.core.compression import DENSE
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_bytes

FILE = "params.yaml"
DIFF_CONTEXT = 1
"""Unchanged lines around a change in a diff."""
Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ParamsEdit:
    """An edit of params.yaml: its text before and after."""

    before: str
    after: str

    def diff(self) -> str:
        """The lines that change, each with its sign, as `diff -u` writes them, without the names of files."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=DIFF_CONTEXT, lineterm="")
        return "\n".join([line for line in lines if not line.startswith(("---", "+++"))])

    def undone(self) -> ParamsEdit:
        """The edit that takes this one back."""
        return ParamsEdit(self.after, self.before)


def with_recipe(root: Path, name: str, steps: Steps, *, replaces: str = "", opened: Steps | None = None) -> ParamsEdit:
    """The edit that adds a recipe, or puts it in the place of the recipe `replaces`, if there is one of that name.

    `opened` are the steps of `replaces` that the editor began with. Raises `UserError` for a name that is taken or no name, for a
    recipe that cannot be built, and where `replaces` has other steps by now.
    """
    if DENSE in (name, replaces):
        raise UserError(f"{DENSE!r} is the recipe that all others are compared with; take another name, such as searched")
    if not steps:
        raise UserError(f"a recipe without steps is {DENSE!r}, which is there already; add a step")
    text, values = _read(root)
    recipes: dict[str, Any] = values["recipes"]
    if name != replaces and "." in name:
        raise UserError(f"{name!r:.80} has a dot, which separates the names of settings; take a name without one")
    if name != replaces and name in recipes:
        raise UserError(f"there is a recipe {name!r} already; take another name")
    if opened is not None and recipes.get(replaces) != [dict(step) for step in opened]:
        raise UserError(f"recipes.{replaces} in {FILE} has changed since it was opened; open it again")
    edited = {key: value for key, value in recipes.items() if key != replaces or key == name}
    edited[name] = [dict(step) for step in steps]
    params = params_file.parse_params({**values, "recipes": edited}, FILE)
    params_file.build_recipe(name, params)
    return ParamsEdit(text, yaml_edit.rewritten(text, {**values, "recipes": edited}))


def without_recipe(root: Path, name: str) -> ParamsEdit:
    """The edit that removes a recipe; raises `UserError` for one that is not there, and for the dense one."""
    text, values = _read(root)
    if name == DENSE:
        raise UserError(f"{DENSE!r} is the recipe that all others are compared with; it stays")
    if name not in values["recipes"]:
        raise UserError(registry.unknown_name(f"{FILE} has no recipe", name, values["recipes"]))
    recipes = {key: value for key, value in values["recipes"].items() if key != name}
    return ParamsEdit(text, yaml_edit.rewritten(text, {**values, "recipes": recipes}))


def with_settings(root: Path, use_case: str, settings: Mapping[str, Any]) -> ParamsEdit:
    """The edit that sets settings of a use case, named relative to its stanza; raises `UserError` if one is refused."""
    text, values = _read(root)
    params = params_file.apply_overrides(params_file.parse_params(values, FILE), settings, use_case)
    params_file.check_seeds(params, use_case)
    for name in params.recipes:
        params_file.build_recipe(name, params)
    return ParamsEdit(text, yaml_edit.rewritten(text, {**values, **{key: params.as_dict()[key] for key in values}}))


def write(root: Path, edit: ParamsEdit) -> None:
    """Write an edit atomically. Raises `UserError` if params.yaml is not the text that the edit was made for."""
    with hold_lock(root / ".bonsai" / "params.lock"):
        if (root / FILE).read_text(encoding="utf-8") != edit.before:
            raise UserError(f"{FILE} has changed meanwhile; look at it and try again")
        write_bytes(root / FILE, edit.after.encode())


def _read(root: Path) -> tuple[str, dict[str, Any]]:
    """The text of params.yaml and its values, with numbers as YAML 1.2 and DVC read them."""
    params_file.read_params(root / FILE)
    text = (root / FILE).read_text(encoding="utf-8")
    values: dict[str, Any] = loads_yaml(text)
    return text, values
