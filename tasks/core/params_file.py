"""params.yaml, read strictly: use cases and recipes, built from their parameters or refused in one line."""

from __future__ import annotations

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
from tasks.core.use_case import UseCase

MAX_PARAMS_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Params:
    """params.yaml, read: every number a person may turn, not yet typed."""

    use_cases: dict[str, dict[str, Any]]
    recipes: dict[str, list[dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        return {"use_cases": self.use_cases, "recipes": self.recipes}


def read_params(path: Path) -> Params:
    """Read params.yaml; refuses what is missing, too large, aliased, or of another shape."""
    if not path.exists():
        raise UserError(f"{path.name} is missing in {path.parent.resolve()}; run from the project's root, or restore it from git")
    if path.stat().st_size > MAX_PARAMS_BYTES:
        raise UserError(f"{path.name} has {path.stat().st_size:,} bytes; {MAX_PARAMS_BYTES:,} is the most that is read")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UserError(f"{path.name}: YAML aliases (*name) are not read; write the value out")
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8: byte {error.start}") from None
    return parse_params(found, path.name)


def parse_params(found: object, where: str = "params.yaml") -> Params:
    """Plain values to `Params`, checking the shape only: two sections, mappings of stanzas and lists of steps."""
    known = [field.name for field in fields(Params)]
    if not isinstance(found, dict):
        raise UserError(f"{where}: expected the sections {', '.join(known)}, got {type(found).__name__}")
    for section in found:
        if section not in known:
            raise UserError(unknown_name(f"{where} has no section", str(section), known))
    for section in known:
        if not isinstance(found.get(section), dict) or not found[section]:
            raise UserError(f"{where}: section {section!r} is missing or empty; it maps names to settings")
    for name, stanza in found["use_cases"].items():
        if not isinstance(stanza, dict):
            raise UserError(f"{where}: use_cases.{name} is {type(stanza).__name__}; expected sections such as fetch and training")
    for name, steps in found["recipes"].items():
        if not isinstance(steps, list) or not all(isinstance(step, dict) and len(step) == 1 for step in steps):
            raise UserError(f"{where}: recipes.{name} must be a list of steps `name: {{settings}}`, as in [{{quantize: {{}}}}]")
    return Params(**found)


def default_stanza() -> dict[str, dict[str, Any]]:
    """A stanza that says nothing: what the score's stages name as their parameters must be there, if only as {}."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in ("fetch", "clean", "augment", "model", "training", "contract")}
    return {**sections, "training": {"seed": Training().seed}}


def with_default_stanzas(params: Params, wanted: Iterable[str]) -> Params:
    """The parameters, with a blank stanza for every use case wanted that is on the shelf and has none: its own defaults."""
    new = [name for name in wanted if name not in params.use_cases and name in registered_names("use_cases")]
    return Params({**params.use_cases, **{name: default_stanza() for name in new}}, params.recipes)


def thread_count(name: str, params: Params) -> Any:
    """How many threads the stages of a use case take, as its stanza says it; known before anything that computes is loaded."""
    training = (params.use_cases.get(name) or {}).get("training")
    return training.get("threads", Training.threads) if isinstance(training, dict) else Training.threads


def build_use_case(name: str, params: Params) -> UseCase:
    """The use case `name`, built from its stanza."""
    if name not in params.use_cases:
        if name in registered_names("use_cases"):
            raise UserError(f"params.yaml: use_cases has no {name!r} yet; add a stanza to run tasks/use_cases/{name}")
        raise UserError(unknown_name("no use case", name, params.use_cases))
    stanza = params.use_cases[name]
    found: UseCase = build("use_cases", name, stanza, where=f"params.yaml: use_cases.{name}")
    return found


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
    """Build everything params.yaml names, so that whatever is wrong is refused before anything runs."""
    for name in params.use_cases:
        build_use_case(name, params)
    for name in params.recipes:
        build_recipe(name, params)


def apply_overrides(params: Params, assignments: Mapping[str, Any], name: str = "") -> Params:
    """A copy with `dotted.name -> value` put in; names are relative to the stanza `name` unless they begin with a section.

    Steps of a recipe are addressed by position: `recipes.pruned.0.prune.ratio`.
    """
    plain = pydantic.TypeAdapter(dict[str, Any]).validate_json(pydantic.TypeAdapter(dict[str, Any]).dump_json(params.as_dict()))
    for dotted, value in assignments.items():
        words = dotted.split(".")
        if words[0] not in plain:
            if not name:
                raise UserError(f"{dotted!r} names no use case; write use_cases.<name>.{dotted}")
            words = ["use_cases", name, *words]
        place: Any = plain
        for depth, word in enumerate(words[:-1]):
            place = _descend(place, word, ".".join(words[: depth + 1]), create=depth >= 2 and words[0] == "use_cases")
        last = words[-1]
        if isinstance(place, list):
            place[_list_index(place, last, dotted)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise UserError(f"params.yaml: {'.'.join(words[:-1])} is a plain value and has no {last!r}")
    return parse_params(plain)


def _descend(place: Any, word: str, path: str, *, create: bool) -> Any:
    if isinstance(place, list):
        return place[_list_index(place, word, path)]
    if not isinstance(place, dict):
        raise UserError(f"params.yaml: {path} leads into a plain value")
    if word not in place and not create:
        raise UserError(unknown_name(f"params.yaml: {path.rpartition('.')[0] or 'the file'} has no", word, map(str, place)))
    return place.setdefault(word, {})


def _list_index(place: list[Any], word: str, path: str) -> int:
    if not word.isdigit() or int(word) >= len(place):
        raise UserError(f"params.yaml: {path}: {word!r} is no position; the list has {len(place)} entries, counted from 0")
    return int(word)
