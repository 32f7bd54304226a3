"""The JSON schema of a run's parameters, for Prefect's forms and its server's validation."""

from __future__ import annotations

from pathlib import Path

from flows.parameters.json_schema import parameter_schemas, request_schema
from tasks.use_cases.vision.use_case import Vision


def test_an_architecture_is_a_choice_with_help() -> None:
    schemas = dict(parameter_schemas(Vision, Vision()))
    assert {"cnn", "efficientnet_lite0"} <= set(schemas["model.architecture"]["enum"])
    assert "knows ImageNet" in schemas["model.architecture"]["description"]
    assert schemas["model.mode"]["enum"] == ["frozen", "last_blocks", "all"]


def test_parameters_come_with_bounds_choices_words_and_present_values(toy: Path) -> None:
    schema = request_schema(toy, ["twin"])
    overrides = schema["overrides"]["anyOf"][0]
    assert overrides["properties"]["model.width"] == {
        "title": "model.width",
        "description": "",
        "default": 4,
        "type": "integer",
        "minimum": 1,
        "maximum": 512,
    }
    assert overrides["properties"]["fetch.limit"]["default"] == 10
    assert "adamw" in overrides["properties"]["training.optimizer"]["enum"]
    assert "`muon` updates" in overrides["properties"]["training.optimizer"]["description"]
    assert overrides["properties"]["recipes.quarter.0.halve.times"]["default"] == 2
    assert "fetch.fingerprint" not in overrides["properties"]
    assert not overrides["additionalProperties"]
    assert schema["recipes"]["anyOf"][0]["items"]["enum"] == ["dense", "half", "quarter"]
    assert request_schema(toy)["use_cases"]["anyOf"][0]["items"]["enum"] == ["toy", "twin"]


def test_a_use_case_that_params_does_not_list_can_be_requested() -> None:
    schema = request_schema(Path(__file__).resolve().parents[3])
    assert "credit" in schema["use_cases"]["anyOf"][0]["items"]["enum"]
    assert "use_cases\\.credit\\.training\\.epochs" in "".join(schema["overrides"]["anyOf"][0]["patternProperties"])
