"""A student by name: a network with fresh weights of any architecture of the use case, with any of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as settings_fields
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.registry import unknown_name

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.problem import PreprocessingState
    from tasks.core.use_case import UseCase

SIZES = ("widths", "width", "hidden", "members", "weights", "vectors", "blocks")
"""Settings of a model that belong to one architecture; another one has its own."""


def build(case: UseCase, state: PreprocessingState, architecture: str, fields: Mapping[str, Any]) -> nn.Module:
    """A new network of `architecture`, or of the configured one if it is empty, with its own fields but for those in `fields`.

    It has to read the inputs of `case.encode`. Raises a `UserError` for an unknown architecture or field, or a wrong value.
    """
    if architecture:
        names = registry.architectures(case.name)
        if architecture not in names:
            raise UserError(unknown_name(f"distill.architecture: {case.name} has no architecture", architecture, names))
        own = {field.name for field in settings_fields(case.model)}
        defaults = type(case.model)()
        sizes = {name: getattr(defaults, name) for name in SIZES if name in own}
        case = replace(case, model=replace(case.model, **{**sizes, "architecture": architecture}))
    start = case.build_model(state)
    start_fields: dict[str, Any] = start.fields  # type: ignore[assignment]
    for name in fields:
        if name not in start_fields:
            kind = type(start).__module__.rpartition(".")[2]
            raise UserError(unknown_name(f"distill.fields: the architecture {kind!r} has no field", name, start_fields))
    try:
        student: nn.Module = type(start)(**{**start_fields, **fields})
    except TypeError as error:
        raise UserError(f"distill.fields {dict(fields)}: {error}") from None
    fitted = dict(start.named_buffers())
    with torch.no_grad():
        for name, buffer in student.named_buffers():
            if name in fitted and fitted[name].shape == buffer.shape:
                buffer.copy_(fitted[name])  # what the use case fitted on train rows, such as the curves of a table's columns
    return student
