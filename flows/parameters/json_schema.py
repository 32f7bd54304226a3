"""JSON schema of a run's parameters: Prefect's forms show it, and Prefect's server rejects requests that violate it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pydantic

from flows import settings
from flows.parameters import run_request
from tasks.core import params_file, registry
from tasks.core.use_case import UseCase

Schema = dict[str, Any]
CONSTRAINT_KEYS = (
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "items", "prefixItems", "additionalProperties",
)  # fmt: skip


class JsonSchemaHint:
    """Annotation of a flow parameter; adds a schema built from params.yaml and the settings dataclasses.

    Prefect asks for the schema whenever the flow is defined, which happens in every run, but only a deployment needs it. So
    `JsonSchemaHint.enabled` is False until the flow is defined.
    """

    enabled = False

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> Schema:
        plain: Schema = handler(core_schema)
        return {**plain, **request_schema(settings.project_root())[self.name]} if JsonSchemaHint.enabled else plain


def request_schema(root: Path, use_cases: Iterable[str] = ()) -> dict[str, Schema]:
    """Schemas of `use_cases`, `recipes` and `overrides` for a run of these use cases.

    If none is named, of all: those of params.yaml, and the registered ones that it does not list, which can be run by name.
    """
    use_cases = list(use_cases)
    listed = params_file.read_params(root / "params.yaml")
    params = params_file.with_default_stanzas(listed, use_cases or registry.registered_names("use_cases"))
    chosen = use_cases or list(params.use_cases)
    return {
        "use_cases": _subset_schema(
            chosen, "Use cases", "All that params.yaml lists if empty; others run by name.", chosen if use_cases else None
        ),
        "recipes": _subset_schema(params.recipes, "Recipes", "Recipes to compare with the dense baseline; all of them if empty."),
        "overrides": _overrides_schema(params, chosen),
    }


def _subset_schema(names: Iterable[str], title: str, description: str, default: list[str] | None = None) -> Schema:
    array = {"type": "array", "items": {"type": "string", "enum": list(names)}, "uniqueItems": True}
    return {"title": title, "description": description, "default": default, "anyOf": [array, {"type": "null"}]}


def _overrides_schema(params: params_file.Params, chosen: list[str]) -> Schema:
    """Schema of every parameter by its dotted name: of use cases relative to their stanza and in full, of recipes in full."""
    relative: dict[str, list[Schema]] = {}
    full: dict[str, Schema] = {}
    for use_case in chosen:
        case = params_file.build_use_case(use_case, params)
        for name, schema in parameter_schemas(type(case), case):
            relative.setdefault(name, []).append(schema)
            full[f"^{re.escape(f'use_cases.{use_case}.{name}')}$"] = schema
    properties = {name: _merged(schemas) for name, schemas in relative.items()}
    for recipe, steps in params.recipes.items():
        for position, ((kind, _),) in enumerate(map(dict.items, steps)):
            step = params_file.build_recipe(recipe, params)[position]
            place = f"recipes.{recipe}.{position}.{kind}"
            properties |= {f"{place}.{name}": schema for name, schema in parameter_schemas(type(step), step)}
    seeds = {
        "title": "seeds",
        "description": "The number of seeds in all, or a list of seeds besides training.seed.",
        "default": 1 + len(params.seeds),
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": run_request.MAX_SEEDS},
            {"type": "array", "items": {"type": "integer", "minimum": 0, "exclusiveMaximum": params_file.MAX_SEED}},
        ],
    }
    properties |= dict.fromkeys(run_request.SEED_OVERRIDES, seeds)
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
    """Dotted name and schema of each parameter of a settings dataclass and its sections; `values` holds the current values."""
    schema = pydantic.TypeAdapter(owner).json_schema()
    current = json.loads(json.dumps(asdict(values) if is_dataclass(values) else {}, default=str))  # type: ignore[arg-type]
    for name, leaf in _leaf_schemas("", schema, schema.get("$defs", {}), current):
        if name == "model.architecture" and isinstance(values, UseCase):
            leaf["enum"] = registry.architectures(values.name)
        if name.rpartition(".")[2] != "fingerprint":  # computed when the request is built
            yield name, leaf


def _leaf_schemas(name: str, schema: Mapping[str, Any], defs: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Schema]]:
    schema = _dereferenced(schema, defs)
    if "properties" in schema:
        for key, inner in schema["properties"].items():
            inner_value = value.get(key) if isinstance(value, Mapping) else None
            yield from _leaf_schemas(f"{name}.{key}" if name else key, inner, defs, inner_value)
    else:
        description = " ".join(str(schema.get("description", "")).split())
        yield name, {"title": name, "description": description, "default": value, **_constraints(schema, defs)}


def _dereferenced(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    """The schema with its own `$ref` replaced by the definition; keys beside the `$ref` win."""
    result = dict(schema)
    while "$ref" in result:
        definition = defs[result.pop("$ref").rpartition("/")[2]]
        result = {**definition, **result}
    return result


def _constraints(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    """The keys that constrain a value, with every `$ref` below replaced."""
    schema = _dereferenced(schema, defs)
    result = {key: schema[key] for key in CONSTRAINT_KEYS if key in schema}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), Mapping):
            result[key] = _constraints(result[key], defs)
    if "prefixItems" in result:
        result["prefixItems"] = [_constraints(item, defs) for item in result["prefixItems"]]
    if "anyOf" in schema:
        result["anyOf"] = [_constraints(option, defs) for option in schema["anyOf"]]
    if "properties" in schema:
        result["properties"] = {key: _constraints(inner, defs) for key, inner in schema["properties"].items()}
    return result


def _merged(schemas: list[Schema]) -> Schema:
    """One schema for a parameter that several use cases have: their common schema, or any of theirs when they differ."""
    without_defaults = [{**schema, "default": None} for schema in schemas]
    if len(schemas) == 1 or all(schema == schemas[0] for schema in schemas):
        return schemas[0]
    if all(schema == without_defaults[0] for schema in without_defaults):
        return {key: value for key, value in schemas[0].items() if key != "default"}
    return {"title": schemas[0]["title"], "description": schemas[0]["description"], "anyOf": without_defaults}
