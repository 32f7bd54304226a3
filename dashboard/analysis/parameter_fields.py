"""What a person may set before a run: every field of the dataclasses that own it, and how to say a choice in a terminal."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from tasks.core import params_file, registry
from tasks.core.errors import UserError

Kind = Literal["whole", "number", "switch", "choice", "words", "yaml"]
BASELINE = "dense"
QUICK: dict[str, Any] = {"fetch.limit": 1500, "training.epochs": 3}
"""A run to see that all is well, in well under a minute or two; its numbers say little about the full one's."""
QUICK_RECIPES = ("int8",)
PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
NOT_WORDS = ("yes", "no", "on", "off", "y", "n", "true", "false", "null", "none")
"""Words that some reader of YAML takes for something else."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: where it belongs, what it holds now, and what it may hold."""

    name: str
    """As on the command line: `training.epochs`, or `recipes.pruned.0.prune.ratio`."""
    kind: Kind
    default: Any
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    @property
    def label(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Form:
    """All settings of a use case, section by section, and the recipes it may be grown by."""

    use_case: str
    fields: tuple[Field, ...]
    recipes: tuple[str, ...]

    @property
    def sections(self) -> list[str]:
        return list(dict.fromkeys(field.section for field in self.fields))


def form(root: Path, use_case: str) -> Form:
    """The settings of a use case as params.yaml and the dataclasses have them; raises `UserError` when they are wrong."""
    path = root / "params.yaml"
    stat = path.stat() if path.exists() else None
    return _form(root, use_case, stat.st_mtime_ns if stat else 0)


@lru_cache(maxsize=32)
def _form(root: Path, use_case: str, mtime_ns: int) -> Form:
    params = params_file.with_default_stanzas(params_file.read_params(root / "params.yaml"), [use_case])
    case = params_file.build_use_case(use_case, params)
    found = list(_fields("", pydantic.TypeAdapter(type(case)).json_schema(), _plain(case)))
    for recipe, steps in params.recipes.items():
        for position, step in enumerate(steps):
            ((kind, knobs),) = step.items()
            place = f"recipes.{recipe}.{position}.{kind}"
            built = registry.build(registry.STEPS_FOLDER, kind, knobs or {}, where=f"params.yaml: {place}")
            found += _fields(place, pydantic.TypeAdapter(type(built)).json_schema(), _plain(built))
    return Form(use_case, tuple(field for field in found if field.label != "fingerprint"), tuple(params.recipes))


def changed(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that differ from what the form began with."""
    defaults = {field.name: field.default for field in form.fields}
    return {name: value for name, value in values.items() if name in defaults and not _same(value, defaults[name])}


def understand(field: Field, words: str) -> Any:
    """The value that words in a free field stand for: lists and the like are written as in params.yaml."""
    if field.kind != "yaml":
        return words
    try:
        return yaml.safe_load(words) if words.strip() else ([] if isinstance(field.default, list) else "")
    except yaml.YAMLError:
        raise UserError(f"{field.name}: {words!r} is not a YAML value; write a list as in [32, 64]") from None


def in_words(value: Any) -> str:
    """A value as on the command line and in free fields: `[32, 64]`, `adamw`, `0.01`; in quotes where it could be misread."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def command(use_cases: Iterable[str], overrides: Mapping[str, Any], recipes: Iterable[str] = ()) -> str:
    """What to type in a terminal for the same run."""
    words = ["bonsai", "run", *use_cases]
    for name, value in overrides.items():
        words += ["--set", f"{name}={in_words(value)}"]
    for recipe in recipes:
        words += ["--recipe", recipe]
    return shlex.join(words)


def _plain(owner: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(owner) if is_dataclass(owner) else {}, default=str))  # type: ignore[arg-type]
    return found


def _fields(prefix: str, schema: Mapping[str, Any], values: Any) -> Iterator[Field]:
    yield from _walk(prefix, schema, values, schema.get("$defs", {}), "")


def _walk(name: str, schema: Mapping[str, Any], value: Any, known: Mapping[str, Any], told: str) -> Iterator[Field]:
    told = schema.get("description", told) if "$ref" in schema or "allOf" in schema else told
    while "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object" and "properties" in schema:
        for word, inner in schema["properties"].items():
            below = value.get(word) if isinstance(value, Mapping) else None
            yield from _walk(f"{name}.{word}" if name else word, inner, below, known, inner.get("description", ""))
    elif name:
        yield _field(name, schema, value, schema.get("description", told))


def _field(name: str, schema: Mapping[str, Any], value: Any, told: str) -> Field:
    kinds: dict[str, Kind] = {"integer": "whole", "number": "number", "boolean": "switch", "string": "words"}
    kind: Kind = "choice" if "enum" in schema else kinds.get(schema.get("type", ""), "yaml")
    if value is None and kind != "yaml":
        value = schema.get("default")
        kind = kind if value is not None else "yaml"
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "whole":  # an exclusive bound is the next whole number; of fractions it is left to the check
        low = schema["exclusiveMinimum"] + 1 if low is None and "exclusiveMinimum" in schema else low
        high = schema["exclusiveMaximum"] - 1 if high is None and "exclusiveMaximum" in schema else high
    if kind == "number":
        low = schema.get("exclusiveMinimum", low) if low is None else low
        high = schema.get("exclusiveMaximum", high) if high is None else high
    return Field(name, kind, value, " ".join(told.split()), low, high, tuple(schema.get("enum", ())))


def _same(one: Any, other: Any) -> bool:
    number = isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool)
    return bool(abs(one - other) <= 1e-12 * max(1.0, abs(other))) if number else json.dumps(one) == json.dumps(other)
