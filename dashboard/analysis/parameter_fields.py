"""Form fields for a use case's settings, from the JSON schema of its dataclasses; overrides as a terminal command."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from flows.parameters.run_request import MAX_SEEDS
from tasks.core import params_file, registry
from tasks.core.errors import UserError

Kind = Literal["whole", "number", "switch", "choice", "words", "yaml"]
BASELINE = "dense"
QUICK: dict[str, Any] = {"fetch.limit": 1500, "training.epochs": 3}
"""Smoke test: a run of about a minute; its results do not predict those of a full run."""
QUICK_RECIPES = ("int8",)
DEMO: dict[str, dict[str, Any]] = {
    "vision": {"training.epochs": 4, "contract.min_speedup": 1.5, "contract.max_size_share": 0.35},
}
"""A run of all rows with fewer epochs and a contract that asks for less: about two CPU minutes to a verdict that counts."""
DEMO_RECIPES = ("int8",)
SEEDS = "training.seeds"
DATASET = "fetch.dataset"
DATASET_MODULES = ("datasets", "price_sources")
"""Modules of a use case that may list its data sets as `DATASETS`."""
COMPUTED = ("fingerprint", "champion")
"""Settings that `bonsai run` fills in."""
ARCHITECTURE = "model.architecture"
FIELDS = "fields"
"""A setting that is a mapping of its own."""
SEEDS_HELP = "Train, compress and evaluate with this many seeds: `training.seed` and those after it."
PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
NOT_WORDS = ("yes", "no", "on", "off", "y", "n", "true", "false", "null", "none")
"""Words that YAML parsers read as booleans or null."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: its name, its current value and its constraints."""

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

    def allows(self, value: Any) -> bool:
        """Whether the setting's widget can hold the value: one of the choices, or a number within the bounds."""
        if self.kind == "choice":
            return value in self.choices
        if self.kind not in ("whole", "number"):
            return True
        if not isinstance(value, int | float) or isinstance(value, bool) or (self.kind == "whole" and value != int(value)):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Form:
    """All settings of a use case by section, and the names of its recipes."""

    use_case: str
    fields: tuple[Field, ...]
    recipes: tuple[str, ...]

    @property
    def sections(self) -> list[str]:
        return list(dict.fromkeys(field.section for field in self.fields))


def form(root: Path, use_case: str) -> Form:
    """The settings of a use case from params.yaml and its dataclasses; raises `UserError` if they are invalid."""
    path = root / "params.yaml"
    stat = path.stat() if path.exists() else None
    return _form(root, use_case, stat.st_mtime_ns if stat else 0)


@lru_cache(maxsize=32)
def _form(root: Path, use_case: str, mtime_ns: int) -> Form:
    params = params_file.with_default_stanzas(params_file.read_params(root / "params.yaml"), [use_case])
    case = params_file.build_use_case(use_case, params)
    choices = {ARCHITECTURE: tuple(registry.architectures(case.name)), DATASET: _dataset_names(case.name)}
    fields = [
        replace(field, kind="choice", choices=choices[field.name]) if choices.get(field.name) else field
        for field in _fields("", pydantic.TypeAdapter(type(case)).json_schema(), _plain(case))
    ]
    after_seed = 1 + [field.name for field in fields].index("training.seed")
    fields.insert(after_seed, Field(SEEDS, "whole", 1 + len(params.seeds), SEEDS_HELP, 1, MAX_SEEDS))
    for recipe, steps in params.recipes.items():
        for position, step in enumerate(steps):
            ((kind, knobs),) = step.items()
            fields += step_fields(kind, knobs or {}, f"recipes.{recipe}.{position}.{kind}")
    return Form(use_case, tuple(field for field in fields if field.label not in COMPUTED), tuple(params.recipes))


def step_fields(kind: str, knobs: Mapping[str, Any], prefix: str = "") -> list[Field]:
    """The settings of a compression step, named after `prefix` if given; raises `UserError` if one of `knobs` is wrong."""
    built = registry.build(registry.STEPS_FOLDER, kind, knobs, where=f"params.yaml: {prefix or kind}")
    return list(_fields(prefix, pydantic.TypeAdapter(type(built)).json_schema(), _plain(built)))


def _dataset_names(use_case: str) -> tuple[str, ...]:
    """The names of the data sets that a use case knows, after the empty one for its default; none where it knows none by name."""
    for module in DATASET_MODULES:
        path = f"tasks.use_cases.{use_case}.{module}"
        if importlib.util.find_spec(path):
            return ("", *getattr(importlib.import_module(path), "DATASETS", ()))
    return ()


def changed(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the form's defaults."""
    defaults = {field.name: field.default for field in form.fields}
    return {name: value for name, value in values.items() if name in defaults and not same_value(value, defaults[name])}


def parse_value(field: Field, words: str) -> Any:
    """The value of a text input; lists and mappings are written as YAML. Raises `UserError` for invalid YAML."""
    if field.kind != "yaml":
        return words
    try:
        return yaml.safe_load(words) if words.strip() else ([] if isinstance(field.default, list) else "")
    except yaml.YAMLError:
        raise UserError(f"{field.name}: {words!r} is not a YAML value; write a list as in [32, 64]") from None


def format_value(value: Any) -> str:
    """A value as YAML on one line: `[32, 64]`, `adamw`, `0.01`; quoted where it could be misread."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def terminal_command(use_cases: Iterable[str], overrides: Mapping[str, Any], recipes: Iterable[str] = ()) -> str:
    """The terminal command of the same run."""
    words = ["bonsai", "run", *use_cases]
    for name, value in overrides.items():
        words += ["--set", f"{name}={format_value(value)}"]
    for recipe in recipes:
        words += ["--recipe", recipe]
    return shlex.join(words)


def _plain(owner: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(owner) if is_dataclass(owner) else {}, default=str))  # type: ignore[arg-type]
    return values


def _fields(prefix: str, schema: Mapping[str, Any], values: Any) -> Iterator[Field]:
    yield from _walk(prefix, schema, values, schema.get("$defs", {}), "")


def _walk(name: str, schema: Mapping[str, Any], value: Any, definitions: Mapping[str, Any], help_text: str) -> Iterator[Field]:
    help_text = schema.get("description", help_text) if "$ref" in schema or "allOf" in schema else help_text
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object" and "properties" in schema:
        for word, inner in schema["properties"].items():
            below = value.get(word) if isinstance(value, Mapping) else None
            yield from _walk(f"{name}.{word}" if name else word, inner, below, definitions, inner.get("description", ""))
    elif name:
        yield _field(name, schema, value, schema.get("description", help_text))


def _field(name: str, schema: Mapping[str, Any], value: Any, help_text: str) -> Field:
    kinds: dict[str, Kind] = {"integer": "whole", "number": "number", "boolean": "switch", "string": "words"}
    kind: Kind = "choice" if "enum" in schema else kinds.get(schema.get("type", ""), "yaml")
    if value is None and kind != "yaml":
        value = schema.get("default")
        kind = kind if value is not None else "yaml"
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "whole":  # an exclusive bound is the next integer; for other numbers the validation checks it
        low = schema["exclusiveMinimum"] + 1 if low is None and "exclusiveMinimum" in schema else low
        high = schema["exclusiveMaximum"] - 1 if high is None and "exclusiveMaximum" in schema else high
    if kind == "number":
        low = schema.get("exclusiveMinimum", low) if low is None else low
        high = schema.get("exclusiveMaximum", high) if high is None else high
    return Field(name, kind, value, " ".join(help_text.split()), low, high, tuple(schema.get("enum", ())))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name: `{"a": {"b": 1}}` is `{"a.b": 1}`. A mapping named `fields` is a value."""
    by_name: dict[str, Any] = {}
    for name, value in values.items():
        inside = isinstance(value, Mapping) and value and name != FIELDS
        by_name |= flat(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return by_name


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `flat` as mappings again."""
    result: dict[str, Any] = {}
    for dotted, value in values.items():
        *above, last = dotted.split(".")
        node = result
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    return result


def same_value(one: Any, other: Any) -> bool:
    """Whether two values of a setting are equal, numbers but for rounding."""
    number = isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool)
    return bool(abs(one - other) <= 1e-12 * max(1.0, abs(other))) if number else json.dumps(one) == json.dumps(other)
