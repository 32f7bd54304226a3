"""The latency of a model of an additional seed: that of the first seed's, where both compute alike."""

from __future__ import annotations

from typing import Any

from tasks.core import onnx_model
from tasks.core.compression import DENSE
from tasks.core.stage_context import StageContext


def known_latency(context: StageContext) -> dict[str, Any] | None:
    """The latency.json of the same recipe of the first seed, None if this model has to be measured.

    The time of a network depends on its nodes and on the shapes of its tensors, not on their values. So it is measured again
    only where this recipe's file, or the dense one beside it, has another graph, as when quantization left other nodes in float.
    """
    if context.seed is None:
        return None
    first = context.of_seed(None)
    for name in {DENSE, context.recipe_name}:
        files = [(each.compressed(name).open() / "model.onnx").read_bytes() for each in (context, first)]
        if not onnx_model.same_graph(*files):
            return None
    timing: dict[str, Any] = first.evaluation(context.recipe_name).json("latency.json")
    return {**timing, "copied_from": f"evaluations/{context.recipe_name}"}
