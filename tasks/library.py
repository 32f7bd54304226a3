"""Find a thing by the name of its file, build it strictly from its parameters, and say "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from tasks.contracts import Mistake, Step, Training, UseCase

MAX_PARAMS_BYTES = 1_000_000

Shelf = Literal["use_cases", "models", "compression"]
"""A folder of `tasks/` in which a file's name is a thing's name."""


@dataclass(frozen=True, slots=True)
class Params:
    """params.yaml, read: every number a person may turn, not yet typed."""

    use_cases: dict[str, dict[str, Any]]
    recipes: dict[str, list[dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        return {"use_cases": self.use_cases, "recipes": self.recipes}


def names(shelf: Shelf) -> list[str]:
    """What is on the shelf, without opening any of it."""
    return sorted(path.stem for path in (Path(__file__).parent / shelf).glob("[!_]*.py"))


def find(shelf: Shelf, name: str) -> type:
    """`find("models", "cnn")` is the class `tasks.models.cnn.Cnn`."""
    if name not in names(shelf):
        raise Mistake(unknown(f"{shelf} has no", name, names(shelf)))
    found: type = getattr(import_module(f"tasks.{shelf}.{name}"), name.title().replace("_", ""))
    return found


def build(shelf: Shelf, name: str, parameters: Mapping[str, Any], where: str = "") -> Any:
    """`build("use_cases", "vision", {...})` is `Vision(...)`, or a `Mistake` that names the place in `where`."""
    found = find(shelf, name)
    try:
        return found(**parameters)
    except pydantic.ValidationError as error:
        raise Mistake(_explain(error, found, where or f"{shelf}.{name}")) from None


def network(architecture: str, parameters: Mapping[str, Any]) -> Any:
    """A fresh network from `tasks/models/<architecture>.py`."""
    return build("models", architecture, parameters)


def read_params(path: Path) -> Params:
    """Read params.yaml; refuses what is missing, too large, aliased, or of another shape."""
    if not path.exists():
        raise Mistake(f"{path.name} is missing in {path.parent.resolve()}; run from the project's root, or restore it from git")
    if path.stat().st_size > MAX_PARAMS_BYTES:
        raise Mistake(f"{path.name} has {path.stat().st_size:,} bytes; {MAX_PARAMS_BYTES:,} is the most that is read")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise Mistake(f"{path.name}: YAML aliases (*name) are not read; write the value out")
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Mistake(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise Mistake(f"{path.name} is not UTF-8: byte {error.start}") from None
    return as_params(found, path.name)


def as_params(found: object, where: str = "params.yaml") -> Params:
    """Plain values to `Params`, checking the shape only: two sections, mappings of stanzas and lists of steps."""
    known = [field.name for field in fields(Params)]
    if not isinstance(found, dict):
        raise Mistake(f"{where}: expected the sections {', '.join(known)}, got {type(found).__name__}")
    for section in found:
        if section not in known:
            raise Mistake(unknown(f"{where} has no section", str(section), known))
    for section in known:
        if not isinstance(found.get(section), dict) or not found[section]:
            raise Mistake(f"{where}: section {section!r} is missing or empty; it maps names to settings")
    for name, stanza in found["use_cases"].items():
        if not isinstance(stanza, dict):
            raise Mistake(f"{where}: use_cases.{name} is {type(stanza).__name__}; expected sections such as fetch and training")
    for name, steps in found["recipes"].items():
        if not isinstance(steps, list) or not all(isinstance(step, dict) and len(step) == 1 for step in steps):
            raise Mistake(f"{where}: recipes.{name} must be a list of steps `name: {{settings}}`, as in [{{quantize: {{}}}}]")
    return Params(**found)


def blank() -> dict[str, dict[str, Any]]:
    """A stanza that says nothing: what the score's stages name as their parameters must be there, if only as {}."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in ("fetch", "clean", "augment", "model", "training", "contract")}
    return {**sections, "training": {"seed": Training().seed}}


def with_shelf(params: Params, wanted: Iterable[str]) -> Params:
    """The parameters, with a blank stanza for every use case wanted that is on the shelf and has none: its own defaults."""
    new = [name for name in wanted if name not in params.use_cases and name in names("use_cases")]
    return Params({**params.use_cases, **{name: blank() for name in new}}, params.recipes)


def threads(name: str, params: Params) -> Any:
    """How many threads the stages of a use case take, as its stanza says it; known before anything that computes is loaded."""
    training = (params.use_cases.get(name) or {}).get("training")
    return training.get("threads", Training.threads) if isinstance(training, dict) else Training.threads


def use_case(name: str, params: Params) -> UseCase:
    """The use case `name`, built from its stanza."""
    if name not in params.use_cases:
        if name in names("use_cases"):
            raise Mistake(f"params.yaml: use_cases has no {name!r} yet; add a stanza to run tasks/use_cases/{name}.py")
        raise Mistake(unknown("no use case", name, params.use_cases))
    stanza = params.use_cases[name]
    found: UseCase = build("use_cases", name, stanza, where=f"params.yaml: use_cases.{name}")
    return found


def recipe(name: str, params: Params) -> tuple[Step, ...]:
    """The steps of the recipe `name`, in order: first those that change the network, then those that change its format."""
    if name not in params.recipes:
        raise Mistake(unknown("no recipe", name, params.recipes))
    steps: list[Step] = []
    for position, step in enumerate(params.recipes[name]):
        ((kind, knobs),) = step.items()
        steps.append(build("compression", kind, knobs or {}, where=f"params.yaml: recipes.{name}.{position}.{kind}"))
        if len(steps) > 1 and steps[-2].changes == "format" and steps[-1].changes == "network":
            raise Mistake(
                f"params.yaml: recipes.{name}: {kind!r} changes the network; put it before steps that change its format"
            )
    return tuple(steps)


def check(params: Params) -> None:
    """Build everything params.yaml names, so that whatever is wrong is refused before anything runs."""
    for name in params.use_cases:
        use_case(name, params)
    for name in params.recipes:
        recipe(name, params)


def override(params: Params, assignments: Mapping[str, Any], name: str = "") -> Params:
    """A copy with `dotted.name -> value` put in; names are relative to the stanza `name` unless they begin with a section.

    Steps of a recipe are addressed by position: `recipes.pruned.0.prune.ratio`.
    """
    plain = pydantic.TypeAdapter(dict[str, Any]).validate_json(pydantic.TypeAdapter(dict[str, Any]).dump_json(params.as_dict()))
    for dotted, value in assignments.items():
        words = dotted.split(".")
        if words[0] not in plain:
            if not name:
                raise Mistake(f"{dotted!r} names no use case; write use_cases.<name>.{dotted}")
            words = ["use_cases", name, *words]
        place: Any = plain
        for depth, word in enumerate(words[:-1]):
            place = _step_into(place, word, ".".join(words[: depth + 1]), create=depth >= 2 and words[0] == "use_cases")
        last = words[-1]
        if isinstance(place, list):
            place[_position(place, last, dotted)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise Mistake(f"params.yaml: {'.'.join(words[:-1])} is a plain value and has no {last!r}")
    return as_params(plain)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line: what came, the nearest right thing, and all there is."""
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"{what} {name!r}; " + (f"did you mean {near[0]!r}? " if near else "") + f"There is: {', '.join(known) or 'nothing'}"


def _step_into(place: Any, word: str, path: str, *, create: bool) -> Any:
    if isinstance(place, list):
        return place[_position(place, word, path)]
    if not isinstance(place, dict):
        raise Mistake(f"params.yaml: {path} leads into a plain value")
    if word not in place and not create:
        raise Mistake(unknown(f"params.yaml: {path.rpartition('.')[0] or 'the file'} has no", word, map(str, place)))
    return place.setdefault(word, {})


def _position(place: list[Any], word: str, path: str) -> int:
    if not word.isdigit() or int(word) >= len(place):
        raise Mistake(f"params.yaml: {path}: {word!r} is no position; the list has {len(place)} entries, counted from 0")
    return int(word)


def _explain(error: pydantic.ValidationError, owner: type, where: str) -> str:
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
