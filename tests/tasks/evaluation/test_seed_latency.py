"""A model of an additional seed takes over the first seed's latency only where both compute alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core import onnx_model
from tasks.core.stage_context import StageContext
from tasks.core.storage.atomic_files import write_bytes, write_json
from tasks.evaluation.seed_latency import known_latency
from tasks.models.vision.cnn import Cnn
from tests.support import tiny_images

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)


def exported(seed: int, width: int = 4) -> bytes:
    torch.manual_seed(seed)
    return onnx_export.to_onnx(Cnn(side=8, classes=2, widths=(width, 4, 4)), IMAGES, {"classes": [str(seed)]}, "vision")


def test_weights_and_metadata_do_not_change_what_is_computed_but_widths_do() -> None:
    assert exported(1) != exported(2)
    assert onnx_model.same_graph(exported(1), exported(2))
    assert not onnx_model.same_graph(exported(1), exported(1, width=8))


def make_context(root: Path, recipe: str, **models: bytes) -> StageContext:
    """A context of seed 8 with these models; their names are `first_dense`, `first_int8`, `seed_dense` and `seed_int8`."""
    log: Any = tiny_images.RecordingEventLog("evaluate_seed@bars-int8-8")
    context = StageContext(
        name="bars", case=tiny_images.Bars(), event_log=log, recipe_name=recipe, recipe_names=("dense", "int8"), seed=8, root=root
    )
    for key, model in models.items():
        whose, _, name = key.partition("_")
        with context.of_seed(8 if whose == "seed" else None).compressed(name).draft() as draft:
            write_bytes(draft / "model.onnx", model)
    with context.of_seed(None).evaluation(recipe).draft() as draft:
        write_json(draft / "latency.json", {"threads": 1, "variants": {}})
    return context


def test_the_latency_of_the_same_graph_is_taken_over_and_says_from_where(tmp_path: Path) -> None:
    context = make_context(
        tmp_path, "int8", first_dense=exported(1), first_int8=exported(1), seed_dense=exported(2), seed_int8=exported(2)
    )
    assert known_latency(context) == {"threads": 1, "variants": {}, "copied_from": "evaluations/int8"}


@pytest.mark.parametrize("changed", ["seed_dense", "seed_int8"])
def test_a_recipe_or_dense_with_another_graph_is_measured(tmp_path: Path, changed: str) -> None:
    models = dict.fromkeys(("first_dense", "first_int8", "seed_dense", "seed_int8"), exported(1))
    assert known_latency(make_context(tmp_path, "int8", **{**models, changed: exported(1, width=8)})) is None


def test_the_first_seed_is_always_measured(tmp_path: Path) -> None:
    context = make_context(tmp_path, "dense", first_dense=exported(1), seed_dense=exported(1))
    assert known_latency(context) is not None
    assert known_latency(replace(context, seed=None)) is None
