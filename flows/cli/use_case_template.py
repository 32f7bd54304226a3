"""Begin a use case of your own: a copy of one that works, to be edited, and its stanza in params.yaml."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.parameters.run_request import resolve_own_path
from tasks.core import params_file, registry
from tasks.core.atomic_files import write_bytes
from tasks.core.errors import UserError

NAME = re.compile(r"[a-z][a-z0-9_]*")
LINE = 120
"""Characters after which a section of a stanza goes on its own line."""


def begin(
    root: Path, name: str, template: str = "", overrides: Mapping[str, Any] | None = None, *, cwd: Path | None = None
) -> list[str]:
    """Write `tasks/use_cases/<name>/`, `tasks/models/<name>/` and the stanza `<name>` of params.yaml; gives what was written.

    Without a template, a use case that is on the shelf already gets its stanza only. A relative path of data is taken from
    `cwd`. Nothing is written when anything is wrong.
    """
    params = params_file.read_params(root / "params.yaml")
    refuse_name(name, params, template)
    if template and template not in registry.registered_names("use_cases"):
        raise UserError(registry.unknown_name("no use case", template, registry.registered_names("use_cases")))
    given = params.use_cases.get(template, {})
    stanza = {section: {**values, **(given.get(section) or {})} for section, values in params_file.default_stanza().items()}
    own = registry.build("use_cases", template or name, stanza).fetch.path_settings
    wanted = {
        dotted: _near(root, resolve_own_path(dotted, value, cwd or root, own)) for dotted, value in (overrides or {}).items()
    }
    if strange := [dotted for dotted in wanted if dotted.partition(".")[0] in params.as_dict()]:
        raise UserError(f"--set {strange[0]} is not of the new use case; name what is in its stanza, as fetch.path")
    grown = params_file.apply_overrides(params_file.parse_params({**params.as_dict(), "use_cases": {name: stanza}}), wanted, name)
    registry.build("use_cases", template or name, grown.use_cases[name], where=f"use_cases.{name}")
    text = (root / "params.yaml").read_text(encoding="utf-8")
    fresh = with_stanza(text, name, grown.use_cases[name])
    written = {"params.yaml": fresh}
    if template:
        written = {**copied(root, template, name), **written}
    for path, content in written.items():
        write_bytes(root / path, content.encode())
    return sorted({_folder(path) for path in written})


def copied(root: Path, template: str, name: str) -> dict[str, str]:
    """The files of the template's packages, in `tasks/use_cases` and `tasks/models`, under the new name."""
    files = {}
    for package in ("use_cases", "models"):
        for path in sorted((root / "tasks" / package / template).rglob("*.py")):
            target = Path("tasks") / package / name / path.relative_to(root / "tasks" / package / template)
            files[str(target)] = renamed(path.read_text(encoding="utf-8"), template, name)
    return files


def _folder(path: str) -> str:
    """The package that a file is written into, or the file itself."""
    return "/".join(Path(path).parts[:3])


def _near(root: Path, value: Any) -> Any:
    """The value; a path inside the project relative to it, so that the project can be moved."""
    inside = isinstance(value, str) and Path(value).is_absolute() and Path(value).is_relative_to(root)
    return str(Path(value).relative_to(root)) if inside else value


def refuse_name(name: str, params: params_file.Params, template: str) -> None:
    """A name is a Python module's, not taken, and no section of params.yaml."""
    shelf = registry.registered_names("use_cases")
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in params.as_dict():
        near = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        hint = f"; {near!r} would do" if NAME.fullmatch(near) and not keyword.iskeyword(near) and near != name else ""
        raise UserError(
            f"{name!r} cannot name a use case: small letters, digits and _ only, a letter first, no word of Python{hint}"
        )
    if name in params.use_cases:
        raise UserError(f"params.yaml has a use case {name!r} already; choose another name, or edit its stanza")
    if name in shelf and template:
        raise UserError(f"tasks/use_cases/{name} is there already; choose another name, or leave --from out to use it")
    if name not in shelf and not template:
        raise UserError(f"nothing to begin {name!r} from; add --from and one of {', '.join(shelf)}")


def renamed(source: str, template: str, name: str) -> str:
    """The code of a use case under another name: its class and its packages, wherever they are named, and nothing else."""
    old, new = (word.title().replace("_", "") for word in (template, name))
    source = re.sub(rf"\btasks\.(use_cases|models)\.{template}\b", rf"tasks.\1.{name}", source)
    return re.sub(rf"(?<![\w\"'])\b{old}\b(?![\w\"'])", new, source)


def with_stanza(text: str, name: str, stanza: Mapping[str, Any]) -> str:
    """params.yaml with one more use case behind the others; every other character stays as it is."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None
    (use_cases,) = (value for key, value in root.value if key.value == "use_cases")
    if use_cases.flow_style:
        raise UserError("params.yaml: use_cases is written in braces; put one use case a line, then ask again")
    lines, last = text.splitlines(), use_cases.value[-1][1].end_mark
    end = last.line + (last.column > 0)
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    indent = " " * use_cases.value[0][0].start_mark.column
    fresh = "\n".join([*lines[:end], *(indent + line for line in as_lines(name, stanza)), *lines[end:]]) + "\n"
    before, after = yaml.safe_load(text), yaml.safe_load(fresh)
    assert after.pop("use_cases") == {**before.pop("use_cases"), name: stanza}
    assert after == before
    return fresh


def as_lines(name: str, stanza: Mapping[str, Any]) -> Iterable[str]:
    """A stanza as the file writes them: a section a line, in braces."""
    yield f"{name}:"
    for section, values in stanza.items():
        inline = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
        inline = inline.removesuffix("\n...")
        if len(section) + len(inline) > LINE:
            yield f"  {section}:"
            yield f"    {inline}"
        else:
            yield f"  {section}: {inline}"
