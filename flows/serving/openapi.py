"""What the page of documentation shows for each use case: the body of a request, with examples."""

from __future__ import annotations

from typing import Any

from tasks.inference.released_model import ReleasedModel

EXAMPLE_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNkEIAAJgGKGACOGAQAKSY6RAAAAABJRU5ErkJggg=="
"""A picture of 8 x 8 pixels in base64."""


def describe_inputs(model: ReleasedModel) -> dict[str, Any]:
    """The request body of `predict`."""
    item: dict[str, Any]
    if model.kind == "picture":
        item, example = {"type": "string", "format": "byte"}, EXAMPLE_PNG
    elif model.kind == "text":
        item, example = {"type": "string"}, "A sentence to be told apart."
    else:
        item, example = {"type": "object", "additionalProperties": True}, _example_record(model)
    schema = {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array", "items": item}}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": {"inputs": [example]}}}}
    }


def describe_files() -> dict[str, Any]:
    """The request body of `predict/files`."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "properties": {"files": files}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _example_record(model: ReleasedModel) -> Any:
    """A record with a usual value in every column that the model reads; a bar of prices where there are no columns."""
    state = model.model.state
    if "numbers" not in state or "categories" not in state:
        return {"ticker": "ABC", "date": "2026-01-30", "open": 100, "high": 102, "low": 99, "close": 101, "volume": 1000}
    middle = {name: knots[len(knots) // 2] for name, knots in zip(state["numbers"], state["knots"], strict=True)}
    return middle | {name: values[0] for name, values in state["categories"].items() if values and name not in middle}
