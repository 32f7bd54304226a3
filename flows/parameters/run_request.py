"""A checked request for a run: params.yaml with overrides applied, reduced to the requested use cases and recipes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import load_yaml

from flows.registry import history
from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.core.networks import own_files
from tasks.core.storage.atomic_files import hash_json, write_json

MAX_SEEDS = 100
"""The most seeds of one run."""
WEIGHT_PATHS = (["model", "weights"], ["model", "vectors"], ["pretrained", "weights"])
"""The ends of the names of settings that may name a file or folder of pretrained weights."""
SEED_OVERRIDES = ("seeds", "training.seeds")
"""The two names of the override that says how many seeds a run has, or lists the additional ones."""
BASELINE = "dense"
"""The recipe that every other one is compared with; every run includes it."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run, checked against the settings dataclasses."""

    use_cases: tuple[str, ...]
    recipes: tuple[str, ...]
    overrides: dict[str, Any]
    """Full dotted name -> value, only where it differs from params.yaml."""
    values: dict[str, Any]
    """The content of the run's own params.yaml."""
    links: tuple[str, ...]
    """Relative paths inside the project that the parameters name; the run's folder gets a link to each."""
    unmodified: bool
    """Whether the parameters are those of params.yaml: no override, no recipe left out, no unlisted use case."""

    @property
    def hash(self) -> str:
        """The same as before there were seeds, where there are no additional ones."""
        return hash_json({name: value for name, value in self.values.items() if name != "seeds" or value})


def build_request(
    root: Path,
    use_cases: Iterable[str] = (),
    recipes: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    cwd: Path | None = None,
) -> RunRequest:
    """Check a request and compute its parameters; raises `UserError` for the first error.

    An override is relative to the stanza of each requested use case, or absolute when it starts with a section of params.yaml.
    `seeds`, also written `training.seeds`, is the number of seeds in all, or the list of those besides `training.seed`.
    A use case in tasks/use_cases that params.yaml does not list can be requested by name; the run's own params.yaml lists it.
    A relative path to the user's own data, such as `fetch.path`, is resolved against `cwd`.
    """
    params_file.read_params(root / "params.yaml")
    original = params_file.parse_params(load_yaml(str(root / "params.yaml")))  # with YAML 1.2 numbers, as DVC reads them
    use_cases = tuple(dict.fromkeys(use_cases)) or tuple(original.use_cases)
    base = params_file.with_default_stanzas(original, use_cases)
    own = {setting for name in use_cases for setting in params_file.build_use_case(name, base).fetch.path_settings}
    selected = _selected_recipes(tuple(dict.fromkeys(recipes)), base)
    params = base
    for dotted, value in (overrides or {}).items():
        if dotted in SEED_OVERRIDES:
            continue
        absolute = dotted.partition(".")[0] in base.as_dict()
        for name in ("",) if absolute else use_cases:
            params = params_file.apply_overrides(params, {dotted: resolve_own_path(dotted, value, cwd or root, own)}, name)
    for dotted in SEED_OVERRIDES:
        if dotted in (overrides or {}):
            params = with_seeds(params, use_cases, (overrides or {})[dotted])
    values: dict[str, Any] = deepcopy(_select(params, use_cases, selected))
    params_file.validate_params(params_file.parse_params(values))
    links = tuple(
        link
        for name, stanza in values["use_cases"].items()
        for link in (*_own_data(root, name, stanza, params), *_champion(root, name, stanza))
    )
    base_values = _select(base, use_cases, selected)
    return RunRequest(
        use_cases=tuple(values["use_cases"]),
        recipes=tuple(values["recipes"]),
        overrides=dict(_differing_leaves("", base_values, values)),
        values=values,
        links=links,
        unmodified=base_values == values and len(selected) == len(base.recipes) and base == original,
    )


def check_own_data(request: RunRequest) -> None:
    """Raise a `UserError` for what the first rows of the users' own data show to be wrong, before any stage runs."""
    values = deepcopy(request.values)
    for stanza in values["use_cases"].values():
        (stanza.get("fetch") or {}).pop("fingerprint", None)  # just computed
    params = params_file.parse_params(values)
    for name in request.use_cases:
        case = params_file.build_use_case(name, params)
        if case.fetch.source == "path":
            case.check_head()


def with_seeds(params: params_file.Params, use_cases: Iterable[str], seeds: Any) -> params_file.Params:
    """The parameters with other additional seeds: those listed, or for a number of seeds in all the ones after `training.seed`.

    Of several use cases they follow the largest `training.seed`, since all share the list. More seeds keep those of fewer.
    """
    if type(seeds) is int and 1 <= seeds <= MAX_SEEDS:
        first = 1 + max(params_file.build_use_case(name, params).training.seed for name in use_cases)
        seeds = list(range(first, first + seeds - 1))
    elif not isinstance(seeds, list) or len(seeds) >= MAX_SEEDS:
        raise UserError(
            f"seeds={seeds!r} is no number of seeds; give one from 1 to {MAX_SEEDS}, or a list of additional seeds such as [8, 9]"
        )
    return params_file.parse_params({**params.as_dict(), "seeds": seeds})


def unlisted_use_cases(root: Path) -> list[str]:
    """Use cases in tasks/use_cases that params.yaml does not list; they run only when they are requested by name."""
    listed = params_file.read_params(root / "params.yaml").use_cases
    return [name for name in registry.registered_names("use_cases") if name not in listed]


def write_params(values: Mapping[str, Any], path: Path) -> None:
    """Write a params.yaml that DVC (YAML 1.2) and PyYAML (YAML 1.1) read alike."""
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True), encoding="utf-8")


def cached_fingerprint(path: Path, cache_file: Path) -> str:
    """Content fingerprint of a file, folder or pattern of files, as the fetch stage computes it.

    `cache_file` keeps it for as long as path, size, modification time and inode of every file stay the same.
    """
    if path.exists():
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        base = path
    else:
        from tasks.data import sources

        files, base = sources.matching_paths(path), path.parent
    stats = [(os.path.relpath(file, base), (stat := file.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for file in files]
    stats_hash = hash_json(stats)
    cache = _read_cache(cache_file)
    if cache.get(str(path), {}).get("seen") != stats_hash:
        from tasks.data import sources  # loads numpy, which only requests with own data need

        content = sources.fingerprint_of(sources.matching_paths(path))
        cache[str(path)] = {"seen": stats_hash, "fingerprint": content}
        write_json(cache_file, cache)
    return str(cache[str(path)]["fingerprint"])


def _select(params: params_file.Params, use_cases: Iterable[str], recipes: Iterable[str]) -> dict[str, Any]:
    return {
        "use_cases": {name: stanza for name, stanza in params.use_cases.items() if name in use_cases},
        "recipes": {name: steps for name, steps in params.recipes.items() if name in recipes},
        "seeds": list(params.seeds),
    }


def _selected_recipes(recipes: tuple[str, ...], params: params_file.Params) -> set[str]:
    """Names of the recipes to run: all of them, or the requested ones and the baseline."""
    for name in recipes:
        params_file.build_recipe(name, params)
    return {*recipes, BASELINE} if recipes else set(params.recipes)


def resolve_own_path(dotted: str, value: Any, cwd: Path, own: Collection[str]) -> Any:
    """The value of an override; a relative path to the user's own data is made absolute, as a run has another working folder.

    `own` holds the names of the `fetch` settings that are such paths. A file or folder of pretrained weights is one too.
    """
    keys = dotted.split(".")
    is_own = (keys[-2:-1] == ["fetch"] and keys[-1] in own) or keys[-2:] in (["model", "file"], ["clean", "corrections"])
    if keys[-2:] in WEIGHT_PATHS and isinstance(value, str) and value:  # a name such as `glove` is no path
        is_own = (cwd / Path(value).expanduser()).exists()
    if is_own and isinstance(value, str) and value:
        return str(cwd / Path(value).expanduser())
    return value


def _own_data(root: Path, name: str, stanza: dict[str, Any], params: params_file.Params) -> list[str]:
    """Write the fingerprint of the user's own data into the stanza; returns the paths that lie inside the project.

    A path in data/ is made absolute instead, as a run has a data/ folder of its own.
    """
    case = params_file.build_use_case(name, params)
    links: list[str] = []
    for section, owner in (("fetch", case.fetch), ("clean", case.clean), ("model", case.model)):
        values, fingerprints = stanza.get(section) or {}, []
        for setting in getattr(owner, "path_settings", ()):
            if not values.get(setting):
                continue
            written, colon, function = str(values[setting]), "", ""
            if section == "model":
                written, function = own_files.split_file(written)
                colon = ":" if function else ""
            path, is_pattern = _existing(root, written, f"use_cases.{name}.{section}.{setting}")
            fingerprints.append(cached_fingerprint(path.resolve(), root / ".bonsai" / "fingerprints.json"))
            if not Path(written).is_absolute() and path.resolve().is_relative_to(root.resolve()):
                if Path(written).parts[0] == "data" or is_pattern:
                    values[setting] = f"{path}{colon}{function}"
                else:
                    links.append(written)
        if fingerprints:
            values["fingerprint"] = "+".join(fingerprints)
    return links


def _champion(root: Path, name: str, stanza: dict[str, Any]) -> list[str]:
    """Write the folder of the champion into a contract that compares with it; returns the folder, if there is one."""
    contract = stanza.get("contract") or {}
    if contract.get("beats") != "champion" or contract.get("champion"):
        return [contract["champion"]] if contract.get("champion") else []
    from flows.registry import versions  # loads DVC

    champion = history.read(root, name).at(history.CHAMPION)
    if champion is None:
        return []
    contract["champion"] = versions.version_folder(root, champion).relative_to(root).as_posix()
    return [contract["champion"]]


def _existing(root: Path, written: str, where: str) -> tuple[Path, bool]:
    """A path of the user's own, and whether it is a pattern of files. Raises a `UserError` that begins with `where`."""
    path = root / Path(written).expanduser()
    is_pattern = not path.exists() and any(mark in path.name for mark in "*?[")
    if not path.exists() and not is_pattern:
        names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        raise UserError(f"{where}: there is no {path}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return path, is_pattern


def _differing_leaves(name: str, old: Any, new: Any) -> list[tuple[str, Any]]:
    """Dotted name and new value of every leaf that differs; lists of equal length are compared item by item."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        leaves = []
        for key, value in new.items():
            leaves += _differing_leaves(f"{name}.{key}" if name else key, old.get(key), value)
        return leaves
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            leaf for index, pair in enumerate(zip(old, new, strict=True)) for leaf in _differing_leaves(f"{name}.{index}", *pair)
        ]
    if isinstance(new, Mapping) and new and old is None:
        return [leaf for key, value in new.items() for leaf in _differing_leaves(f"{name}.{key}", None, value)]
    return [] if old == new else [(name, new)]


def _read_cache(cache_file: Path) -> dict[str, Any]:
    try:
        cache = json.loads(cache_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return cache if isinstance(cache, dict) else {}
