"""Read params.yaml strictly, and build the use cases and recipes that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pydantic
import yaml

from tasks.core.compression import Step
from tasks.core.errors import UserError
from tasks.core.registry import STEPS_FOLDER, build, registered_names, unknown_name
from tasks.core.settings import Training
from tasks.core.stage_context import SEEDS_FOLDER
from tasks.core.use_case import UseCase

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_PARAMS_BYTES = 1_000_000
MAX_SEED = 2**31
"""Seeds are smaller."""


@dataclass(frozen=True, slots=True)
class Params:
    """The content of params.yaml: the parameters of use cases and recipes, not yet typed, and the additional seeds."""

    use_cases: dict[str, dict[str, Any]]
    recipes: dict[str, list[dict[str, Any]]]
    seeds: tuple[int, ...] = ()
    """Seeds with which train, compress and evaluate are repeated, besides each use case's `training.seed`."""

    def as_dict(self) -> dict[str, Any]:
        return {"use_cases": self.use_cases, "recipes": self.recipes, "seeds": list(self.seeds)}


def read_params(path: Path) -> Params:
    """Read params.yaml. Raises a `UserError` when it is missing, too large, has aliases, or has another shape."""
    if not path.exists():
        raise UserError(f"{path.name} is missing in {path.parent.resolve()}; run from the project's root, or restore it from git")
    if path.stat().st_size > MAX_PARAMS_BYTES:
        raise UserError(f"{path.name} has {path.stat().st_size:,} bytes; {MAX_PARAMS_BYTES:,} is the most that is read")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UserError(f"{path.name}: YAML aliases (*name) are not read; write the value out")
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8: byte {error.start}") from None
    return parse_params(values, path.name)


def parse_params(values: object, where: str = "params.yaml") -> Params:
    """Plain values as `Params`. Only the shape is checked: the sections, mappings of stanzas and lists of steps and seeds.

    A file without `seeds` has no additional ones.
    """
    sections = [field.name for field in fields(Params)]
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected the sections {', '.join(sections)}, got {type(values).__name__}")
    for section in values:
        if section not in sections:
            raise UserError(unknown_name(f"{where} has no section", str(section), sections))
    for section in ("use_cases", "recipes"):
        if not isinstance(values.get(section), dict) or not values[section]:
            raise UserError(f"{where}: section {section!r} is missing or empty; it maps names to settings")
    for name, stanza in values["use_cases"].items():
        if not isinstance(stanza, dict):
            raise UserError(f"{where}: use_cases.{name} is {type(stanza).__name__}; expected sections such as fetch and training")
    for name, steps in values["recipes"].items():
        if not isinstance(steps, list) or not all(isinstance(step, dict) and len(step) == 1 for step in steps):
            raise UserError(f"{where}: recipes.{name} must be a list of steps `name: {{settings}}`, as in [{{quantize: {{}}}}]")
    for section, kind in (("use_cases", "use case"), ("recipes", "recipe")):
        for name in values[section]:
            if not is_name(name):
                raise UserError(
                    f"{where}: {name!r:.80} is no name of a {kind}; use letters, digits, `_`, `-` and `.`, at most 64"
                )
    if SEEDS_FOLDER in values["recipes"]:
        raise UserError(f"{where}: no recipe can be named {SEEDS_FOLDER!r}, the folder of additional seeds; take another name")
    return Params(values["use_cases"], values["recipes"], _seeds(values.get("seeds"), where))


def is_name(name: object) -> bool:
    """Whether that may name a use case or a recipe: a folder, a word of a command and a part of an address are named after it."""
    return isinstance(name, str) and bool(NAME.fullmatch(name)) and ".." not in name


def _seeds(values: object, where: str) -> tuple[int, ...]:
    """The additional seeds, none for None."""
    seeds = [] if values is None else values
    if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < MAX_SEED for seed in seeds):
        raise UserError(f"{where}: seeds is {seeds!r}; expected a list of whole numbers from 0 to {MAX_SEED - 1}, as in [8, 9]")
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise UserError(f"{where}: seeds has {twice} twice; each additional seed is played once")
    return tuple(seeds)


def default_stanza() -> dict[str, dict[str, Any]]:
    """A stanza with defaults only: the sections that DVC's stages name as parameters must exist, even if empty."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in ("fetch", "clean", "augment", "model", "training", "contract")}
    return {**sections, "training": {"seed": Training().seed}}


def with_default_stanzas(params: Params, use_cases: Iterable[str]) -> Params:
    """The parameters, with a default stanza for each of `use_cases` that is installed and has none."""
    new = [name for name in use_cases if name not in params.use_cases and name in registered_names("use_cases")]
    return Params({**params.use_cases, **{name: default_stanza() for name in new}}, params.recipes, params.seeds)


def thread_count(name: str, params: Params) -> Any:
    """The number of threads of a use case, read from its stanza before any numerical library is loaded."""
    training = (params.use_cases.get(name) or {}).get("training")
    return training.get("threads", Training.threads) if isinstance(training, dict) else Training.threads


def build_use_case(name: str, params: Params) -> UseCase:
    """The use case `name`, built from its stanza. Raises a `UserError` for an unknown name or a wrong parameter."""
    if name not in params.use_cases:
        if name in registered_names("use_cases"):
            raise UserError(f"params.yaml: use_cases has no {name!r} yet; add a stanza to run tasks/use_cases/{name}")
        raise UserError(unknown_name("no use case", name, params.use_cases))
    stanza = params.use_cases[name]
    training = stanza.get("training")
    if isinstance(training, dict) and "seeds" in training:
        raise UserError(
            f"params.yaml: use_cases.{name}.training has no 'seeds'; list additional seeds at the top, as in seeds: [8, 9], "
            "or run with --seeds 3"
        )
    case: UseCase = build("use_cases", name, stanza, where=f"params.yaml: use_cases.{name}")
    return case


def build_recipe(name: str, params: Params) -> tuple[Step, ...]:
    """The steps of the recipe `name`, in order: first those that change the network, then those that change its format."""
    if name not in params.recipes:
        raise UserError(unknown_name("no recipe", name, params.recipes))
    steps: list[Step] = []
    for position, step in enumerate(params.recipes[name]):
        ((kind, knobs),) = step.items()
        steps.append(build(STEPS_FOLDER, kind, knobs or {}, where=f"params.yaml: recipes.{name}.{position}.{kind}"))
        if len(steps) > 1 and steps[-2].changes == "format" and steps[-1].changes == "network":
            raise UserError(
                f"params.yaml: recipes.{name}: {kind!r} changes the network; put it before steps that change its format"
            )
    return tuple(steps)


def validate_params(params: Params) -> None:
    """Build every use case and recipe, so that a wrong parameter is refused before a run starts."""
    for name in params.use_cases:
        check_seeds(params, name)
    for name in params.recipes:
        build_recipe(name, params)


def check_seeds(params: Params, name: str) -> None:
    """Build the use case `name`; raise a `UserError` when an additional seed is the one that it trains with in any case."""
    seed = build_use_case(name, params).training.seed
    if seed in params.seeds:
        raise UserError(f"params.yaml: seeds has {seed}, which is use_cases.{name}.training.seed already; take another one")


def with_seed(params: Params, name: str, seed: int) -> Params:
    """The parameters with the additional seed `seed` as `training.seed` of `name`. Raises a `UserError` if it is not listed."""
    if seed not in params.seeds:
        listed = ", ".join(map(str, params.seeds)) or "none"
        raise UserError(f"params.yaml: seeds has no {seed}; it has {listed}")
    check_seeds(params, name)
    return apply_overrides(params, {"training.seed": seed}, name)


def apply_overrides(params: Params, assignments: Mapping[str, Any], name: str = "") -> Params:
    """A copy with the values of `dotted.name -> value` replaced. Names without a section are relative to the stanza `name`.

    Steps of a recipe are addressed by index: `recipes.pruned.0.prune.ratio`.
    """
    values = pydantic.TypeAdapter(dict[str, Any]).validate_json(pydantic.TypeAdapter(dict[str, Any]).dump_json(params.as_dict()))
    for path, value in assignments.items():
        keys = path.split(".")
        if keys[0] not in values:
            if not name:
                raise UserError(f"{path!r} names no use case; write use_cases.<name>.{path}")
            keys = ["use_cases", name, *keys]
        node: Any = values
        for depth, key in enumerate(keys[:-1]):
            node = _descend(node, key, ".".join(keys[: depth + 1]), create=depth >= 2 and keys[0] == "use_cases")
        last = keys[-1]
        if isinstance(node, list):
            node[_list_index(node, last, path)] = value
        elif isinstance(node, dict):
            node[last] = value
        else:
            raise UserError(f"params.yaml: {'.'.join(keys[:-1])} is a plain value and has no {last!r}")
    return parse_params(values)


def _descend(node: Any, key: str, path: str, *, create: bool) -> Any:
    if isinstance(node, list):
        return node[_list_index(node, key, path)]
    if not isinstance(node, dict):
        raise UserError(f"params.yaml: {path} leads into a plain value")
    if key not in node and not create:
        raise UserError(unknown_name(f"params.yaml: {path.rpartition('.')[0] or 'the file'} has no", key, map(str, node)))
    return node.setdefault(key, {})


def _list_index(node: list[Any], key: str, path: str) -> int:
    if not key.isdigit() or int(key) >= len(node):
        raise UserError(f"params.yaml: {path}: {key!r} is no position; the list has {len(node)} entries, counted from 0")
    return int(key)
