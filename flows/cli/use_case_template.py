"""Creates a use case: copies the packages of an existing one under a new name and adds a stanza to params.yaml."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.parameters import suggestions
from flows.parameters.run_request import resolve_own_path
from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_bytes
from tasks.core.use_case import Suggestion

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
MAX_INLINE_LENGTH = 120
"""A section of a stanza that is longer than this gets a line of its own."""


def create_use_case(
    root: Path, name: str, template: str = "", overrides: Mapping[str, Any] | None = None, *, cwd: Path | None = None
) -> tuple[list[str], Suggestion]:
    """Write `tasks/use_cases/<name>/`, `tasks/models/<name>/` and the stanza `<name>` of params.yaml.

    Returns what was written, and what the use case suggested for the user's own data.

    Without a template, the use case must exist in tasks/use_cases and only its stanza is written. A relative path to the user's
    own data is resolved against `cwd`. Raises `UserError`, before anything is written, when the name, the template or an
    override is invalid.
    """
    params = params_file.read_params(root / "params.yaml")
    check_name(name, params, template)
    if template and template not in registry.registered_names("use_cases"):
        raise UserError(registry.unknown_name("no use case", template, registry.registered_names("use_cases")))
    template_stanza = params.use_cases.get(template, {})
    stanza = {
        section: {**values, **(template_stanza.get(section) or {})} for section, values in params_file.default_stanza().items()
    }
    own = registry.build("use_cases", template or name, stanza).fetch.path_settings
    resolved = {dotted: resolve_own_path(dotted, value, cwd or root, own) for dotted, value in (overrides or {}).items()}
    suggested = suggestions.for_stanza(name, template or name, params, stanza, resolved)
    changes = suggested.settings | {dotted: _relative_to_project(root, value) for dotted, value in resolved.items()}
    if absolute := [dotted for dotted in changes if dotted.partition(".")[0] in params.as_dict()]:
        raise UserError(
            f"--set {absolute[0]} is not a parameter of the new use case; name it relative to the stanza, such as fetch.path"
        )
    new_params = params_file.apply_overrides(
        params_file.parse_params({**params.as_dict(), "use_cases": {name: stanza}}), changes, name
    )
    registry.build("use_cases", template or name, new_params.use_cases[name], where=f"use_cases.{name}")
    text = (root / "params.yaml").read_text(encoding="utf-8")
    files = {"params.yaml": insert_stanza(text, name, new_params.use_cases[name])}
    if template:
        files = {**copied_files(root, template, name), **files}
    for path, content in files.items():
        write_bytes(root / path, content.encode())
    return sorted({_package(path) for path in files}), suggested


def copied_files(root: Path, template: str, name: str) -> dict[str, str]:
    """Path and content of each file of the template's packages in tasks/use_cases and tasks/models, under the new name."""
    files = {}
    for package in ("use_cases", "models"):
        for path in sorted((root / "tasks" / package / template).rglob("*.py")):
            target = Path("tasks") / package / name / path.relative_to(root / "tasks" / package / template)
            files[str(target)] = rename_source(path.read_text(encoding="utf-8"), template, name)
    return files


def _package(path: str) -> str:
    """The package that the file belongs to, or the file itself when it is in none."""
    return "/".join(Path(path).parts[:3])


def _relative_to_project(root: Path, value: Any) -> Any:
    """The value; a path inside the project is made relative to it, so that the project can be moved."""
    inside = isinstance(value, str) and Path(value).is_absolute() and Path(value).is_relative_to(root)
    return str(Path(value).relative_to(root)) if inside else value


def check_name(name: str, params: params_file.Params, template: str) -> None:
    """Raise `UserError` when the name is no lower-case Python identifier, is taken, or is a section of params.yaml."""
    existing = registry.registered_names("use_cases")
    if not NAME_PATTERN.fullmatch(name) or keyword.iskeyword(name) or name in params.as_dict():
        near = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        hint = (
            f"; {near!r} would be valid" if NAME_PATTERN.fullmatch(near) and not keyword.iskeyword(near) and near != name else ""
        )
        raise UserError(
            f"{name!r} is not a valid name: lower-case letters, digits and _ only, a letter first, no Python keyword{hint}"
        )
    if name in params.use_cases:
        raise UserError(f"params.yaml already has a use case {name!r}; choose another name, or edit its stanza")
    if name in existing and template:
        raise UserError(f"tasks/use_cases/{name} already exists; choose another name, or leave out --from to use it")
    if name not in existing and not template:
        raise UserError(
            f"there is no use case {name!r} in tasks/use_cases; to copy one, add --from and one of {', '.join(existing)}"
        )


def rename_source(source: str, template: str, name: str) -> str:
    """The source code with the template's class and packages renamed, and nothing else changed."""
    old, new = (word.title().replace("_", "") for word in (template, name))
    source = re.sub(rf"\btasks\.(use_cases|models)\.{template}\b", rf"tasks.\1.{name}", source)
    return re.sub(rf"(?<![\w\"'])\b{old}\b(?![\w\"'])", new, source)


def insert_stanza(text: str, name: str, stanza: Mapping[str, Any]) -> str:
    """The text of params.yaml with the stanza added after the last use case; every other character stays as it is."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None
    (use_cases,) = (value for key, value in root.value if key.value == "use_cases")
    if use_cases.flow_style:
        raise UserError("params.yaml: use_cases is a mapping in braces; write one use case per line, then try again")
    lines, last = text.splitlines(), use_cases.value[-1][1].end_mark
    end = last.line + (last.column > 0)
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    indent = " " * use_cases.value[0][0].start_mark.column
    new_text = "\n".join([*lines[:end], *(indent + line for line in stanza_lines(name, stanza)), *lines[end:]]) + "\n"
    before, after = yaml.safe_load(text), yaml.safe_load(new_text)
    assert after.pop("use_cases") == {**before.pop("use_cases"), name: stanza}
    assert after == before
    return new_text


def stanza_lines(name: str, stanza: Mapping[str, Any]) -> Iterable[str]:
    """The lines of a stanza, unindented: one section per line, in braces."""
    yield f"{name}:"
    for section, values in stanza.items():
        inline = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
        inline = inline.removesuffix("\n...")
        if len(section) + len(inline) > MAX_INLINE_LENGTH:
            yield f"  {section}:"
            yield f"    {inline}"
        else:
            yield f"  {section}: {inline}"
