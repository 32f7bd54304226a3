"""The parameters of a run: params.yaml with what a person set on top, narrowed to what was asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import load_yaml, loads_yaml
from ruamel.yaml.error import YAMLError

from tasks.core import params_file, registry
from tasks.core.atomic_files import hash_json, write_json
from tasks.core.errors import UserError

BASELINE = "dense"
"""The recipe every other is compared with; never left out."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked to do, checked against the dataclasses that own the parameters."""

    use_cases: tuple[str, ...]
    recipes: tuple[str, ...]
    overrides: dict[str, Any]
    """Full dotted name -> value, only what differs from params.yaml."""
    values: dict[str, Any]
    """All of params.yaml as the run sees it."""
    links: tuple[str, ...]
    """Relative paths inside the project that the parameters name; the run's folder needs them too."""
    unmodified: bool
    """Whether values are params.yaml's own: no override, no recipe left out."""

    @property
    def hash(self) -> str:
        return hash_json(self.values)


def build_request(
    root: Path,
    use_cases: Iterable[str] = (),
    recipes: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    cwd: Path | None = None,
) -> RunRequest:
    """Check a request and work out its parameters; raises `UserError` for the first thing that is wrong.

    Overrides are relative to the stanza of each use case asked for, or absolute when they begin with a section's name.
    A use case of tasks/use_cases that params.yaml does not list can be asked for by name; the run's own folder then lists it.
    A relative path of one's own data among them, such as `fetch.path`, is taken from `cwd`.
    """
    params_file.read_params(root / "params.yaml")
    written = params_file.as_params(load_yaml(str(root / "params.yaml")))  # numbers as DVC reads them, which has YAML 1.2
    chosen = tuple(dict.fromkeys(use_cases)) or tuple(written.use_cases)
    plain = params_file.with_shelf(written, chosen)
    own = {setting for name in chosen for setting in params_file.use_case(name, plain).fetch.own}
    kept = _kept(tuple(dict.fromkeys(recipes)), plain)
    params = plain
    for dotted, value in (overrides or {}).items():
        absolute = dotted.partition(".")[0] in plain.as_dict()
        for name in ("",) if absolute else chosen:
            params = params_file.override(params, {dotted: absolute_own_path(dotted, value, cwd or root, own)}, name)
    values: dict[str, Any] = deepcopy(_narrowed(params, chosen, kept))
    params_file.check(params_file.as_params(values))
    links = tuple(link for name, stanza in values["use_cases"].items() for link in _own_data(root, name, stanza, params))
    before = _narrowed(plain, chosen, kept)
    return RunRequest(
        use_cases=tuple(values["use_cases"]),
        recipes=tuple(values["recipes"]),
        overrides=dict(_leaves_that_differ("", before, values)),
        values=values,
        links=links,
        unmodified=before == values and len(kept) == len(plain.recipes) and plain == written,
    )


def unlisted_use_cases(root: Path) -> list[str]:
    """The use cases of tasks/use_cases that params.yaml does not list: they run when they are asked for by name."""
    listed = params_file.read_params(root / "params.yaml").use_cases
    return [name for name in registry.names("use_cases") if name not in listed]


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """`["training.epochs=3"]` to `{"training.epochs": 3}`; values are read as YAML, as in params.yaml."""
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--set {assignment!r} is not name=value; write it as in --set training.epochs=3")
        try:
            found[name.strip()] = loads_yaml(text) if text.strip() else ""
        except YAMLError:
            raise UserError(f"--set {name}: {text!r} is not a YAML value; quote it if it is text") from None
    return found


def write_params(values: Mapping[str, Any], path: Path) -> None:
    """Write a params.yaml that DVC, PyYAML and people read alike."""
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True), encoding="utf-8")


def cached_fingerprint(path: Path, memory: Path) -> str:
    """What the fetch stage will hold the data against; `memory` keeps it until a file's size or time changes."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(path)), (stat := file.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for file in files]
    seen = hash_json(stats)
    known = _read_memory(memory)
    if known.get(str(path), {}).get("seen") != seen:
        from tasks.data import sources  # loads numpy, which only those with data of their own need

        content = sources.fingerprint(path)
        known[str(path)] = {"seen": seen, "fingerprint": content}
        write_json(memory, known)
    return str(known[str(path)]["fingerprint"])


def _narrowed(params: params_file.Params, use_cases: Iterable[str], recipes: Iterable[str]) -> dict[str, Any]:
    return {
        "use_cases": {name: stanza for name, stanza in params.use_cases.items() if name in use_cases},
        "recipes": {name: steps for name, steps in params.recipes.items() if name in recipes},
    }


def _kept(recipes: tuple[str, ...], params: params_file.Params) -> set[str]:
    """The recipes to play: all of them, or those named and the baseline they are compared with."""
    for name in recipes:
        params_file.recipe(name, params)
    return {*recipes, BASELINE} if recipes else set(params.recipes)


def absolute_own_path(dotted: str, value: Any, cwd: Path, own: Collection[str]) -> Any:
    """The value; a relative path of one's own data, which the settings `own` of fetch name, is made absolute, since the run
    works in a folder of its own.
    """
    words = dotted.split(".")
    if words[-2:-1] == ["fetch"] and words[-1] in own and isinstance(value, str) and value:
        return str(cwd / Path(value).expanduser())
    return value


def _own_data(root: Path, name: str, stanza: dict[str, Any], params: params_file.Params) -> list[str]:
    """Put the fingerprint of all of a person's own data into the stanza; give the paths back that lie inside the project.

    What lies in data/, where a run has outputs of its own, is named by its whole path.
    """
    fetch, links, found = stanza.get("fetch") or {}, [], []
    for setting in params_file.use_case(name, params).fetch.own:
        if not fetch.get(setting):
            continue
        path = root / fetch[setting]
        if not path.exists():
            names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
            near = get_close_matches(path.name, names, n=1)
            raise UserError(
                f"use_cases.{name}.fetch.{setting}: there is no {path}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        found.append(cached_fingerprint(path.resolve(), root / ".bonsai" / "fingerprints.json"))
        if not Path(fetch[setting]).is_absolute() and path.resolve().is_relative_to(root.resolve()):
            if Path(fetch[setting]).parts[0] == "data":
                fetch[setting] = str(path)
            else:
                links.append(str(fetch[setting]))
    if found:
        fetch["fingerprint"] = "+".join(found)
    return links


def _leaves_that_differ(name: str, old: Any, new: Any) -> list[tuple[str, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for word, value in new.items():
            found += _leaves_that_differ(f"{name}.{word}" if name else word, old.get(word), value)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            leaf
            for index, pair in enumerate(zip(old, new, strict=True))
            for leaf in _leaves_that_differ(f"{name}.{index}", *pair)
        ]
    if isinstance(new, Mapping) and new and old is None:
        return [leaf for word, value in new.items() for leaf in _leaves_that_differ(f"{name}.{word}", None, value)]
    return [] if old == new else [(name, new)]


def _read_memory(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
