"""What a run may be asked for, as JSON schema: Prefect's forms show it, and its server refuses what does not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pydantic

from flows import settings
from tasks.core import params_file

Schema = dict[str, Any]
CONSTRAINT_KEYS = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "items", "prefixItems", "additionalProperties",
)  # fmt: skip


class JsonSchemaHint:
    """An annotation of a flow's parameter whose schema is worked out from params.yaml and the dataclasses behind it.

    Prefect asks for the schema each time it loads the flow, which every run does; it is worth the reading only when the flow
    is deployed, so `JsonSchemaHint.enabled` is false until the flow has been made.
    """

    enabled = False

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> Schema:
        plain: Schema = handler(core_schema)
        return {**plain, **request_schema(settings.project_root())[self.name]} if JsonSchemaHint.enabled else plain


def request_schema(root: Path, use_cases: Iterable[str] = ()) -> dict[str, Schema]:
    """The schemas of `use_cases`, `recipes` and `overrides`, for a run of these use cases; of any if none is named."""
    params = params_file.read_params(root / "params.yaml")
    use_cases = list(use_cases)
    chosen = use_cases or list(params.use_cases)
    return {
        "use_cases": _subset_schema(
            chosen, "Use cases", "Stanzas of params.yaml; all of them if empty.", chosen if use_cases else None
        ),
        "recipes": _subset_schema(params.recipes, "Recipes", "Recipes to compare with the dense baseline; all of them if empty."),
        "overrides": _overrides_schema(params, chosen),
    }


def _subset_schema(names: Iterable[str], title: str, description: str, default: list[str] | None = None) -> Schema:
    several = {"type": "array", "items": {"type": "string", "enum": list(names)}, "uniqueItems": True}
    return {"title": title, "description": description, "default": default, "anyOf": [several, {"type": "null"}]}


def _overrides_schema(params: params_file.Params, chosen: list[str]) -> Schema:
    """Every parameter by its dotted name: those of the use cases as on the command line, shared ones once; recipes in full."""
    relative: dict[str, list[Schema]] = {}
    full: dict[str, Schema] = {}
    for use_case in chosen:
        case = params_file.use_case(use_case, params)
        for name, schema in parameter_schemas(type(case), case):
            relative.setdefault(name, []).append(schema)
            full[f"^{re.escape(f'use_cases.{use_case}.{name}')}$"] = schema
    properties = {name: _merged(schemas) for name, schemas in relative.items()}
    for recipe, steps in params.recipes.items():
        for position, ((kind, _),) in enumerate(map(dict.items, steps)):
            step = params_file.recipe(recipe, params)[position]
            place = f"recipes.{recipe}.{position}.{kind}"
            properties |= {f"{place}.{name}": schema for name, schema in parameter_schemas(type(step), step)}
    return {
        "title": "Overrides",
        "description": "Parameters for this run only.",
        "default": None,
        "anyOf": [
            {"type": "object", "properties": properties, "patternProperties": full, "additionalProperties": False},
            {"type": "null"},
        ],
    }


def parameter_schemas(owner: type, values: Any) -> Iterator[tuple[str, Schema]]:
    """Dotted name and schema of each parameter of a settings dataclass, its sections opened; `values` are those it has now."""
    schema = pydantic.TypeAdapter(owner).json_schema()
    now = json.loads(json.dumps(asdict(values) if is_dataclass(values) else {}, default=str))  # type: ignore[arg-type]
    for name, found in _leaf_schemas("", schema, schema.get("$defs", {}), now):
        if name.rpartition(".")[2] != "fingerprint":  # taken when the run is asked for
            yield name, found


def _leaf_schemas(name: str, schema: Mapping[str, Any], known: Mapping[str, Any], now: Any) -> Iterator[tuple[str, Schema]]:
    opened = _dereferenced(schema, known)
    if "properties" in opened:
        for word, inner in opened["properties"].items():
            below = now.get(word) if isinstance(now, Mapping) else None
            yield from _leaf_schemas(f"{name}.{word}" if name else word, inner, known, below)
    else:
        told = {"title": name, "description": " ".join(str(opened.get("description", "")).split()), "default": now}
        yield name, {**told, **_constraints(opened, known)}


def _dereferenced(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Schema:
    found = dict(schema)
    while "$ref" in found:
        target = known[found.pop("$ref").rpartition("/")[2]]
        found = {**target, **found}
    return found


def _constraints(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Schema:
    """What restricts a value, with no reference left to follow."""
    opened = _dereferenced(schema, known)
    found = {key: opened[key] for key in CONSTRAINT_KEYS if key in opened}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = _constraints(found[key], known)
    if "prefixItems" in found:
        found["prefixItems"] = [_constraints(item, known) for item in found["prefixItems"]]
    if "anyOf" in opened:
        found["anyOf"] = [_constraints(option, known) for option in opened["anyOf"]]
    if "properties" in opened:
        found["properties"] = {word: _constraints(inner, known) for word, inner in opened["properties"].items()}
    return found


def _merged(schemas: list[Schema]) -> Schema:
    """One schema for a name that several use cases have: theirs if they agree, else any of them."""
    alike = [{**schema, "default": None} for schema in schemas]
    if len(schemas) == 1 or all(schema == schemas[0] for schema in schemas):
        return schemas[0]
    if all(schema == alike[0] for schema in alike):
        return {key: value for key, value in schemas[0].items() if key != "default"}
    return {"title": schemas[0]["title"], "description": schemas[0]["description"], "anyOf": alike}
