"""All models are timed in one measurement; one of an additional seed takes over a time only where both compute alike."""

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
from tasks.core.storage.artifacts import Table
from tasks.core.storage.atomic_files import write_bytes
from tasks.evaluation import latency as measurement
from tasks.evaluation.latency import Variant
from tasks.models.vision.cnn import Cnn
from tasks.stages import latency
from tests.support import tiny_images

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)


def exported(seed: int, width: int = 4) -> bytes:
    torch.manual_seed(seed)
    state = {"classes": list(tiny_images.NAMES), "seed": seed}
    return onnx_export.to_onnx(Cnn(side=8, classes=2, widths=(width, 4, 4)), IMAGES, state, "vision")


def test_weights_and_metadata_do_not_change_what_is_computed_but_widths_do() -> None:
    assert exported(1) != exported(2)
    assert onnx_model.same_graph(exported(1), exported(2))
    assert not onnx_model.same_graph(exported(1), exported(1, width=8))


def make_context(root: Path, **models: bytes) -> StageContext:
    """A context with seed 8 and these models; their names are `first_dense`, `first_int8`, `seed_dense` and `seed_int8`."""
    context = replace(tiny_images.stage_context(root, "latency"), seeds=(8,))
    for key, model in models.items():
        whose, _, name = key.partition("_")
        with context.of_seed(8 if whose == "seed" else None).compressed(name).draft() as draft:
            write_bytes(draft / "model.onnx", model)
    return context


def fake_measure(monkeypatch: pytest.MonkeyPatch) -> list[Variant]:
    """Replace the measurement: the time of the variant at position n is n ms. Returns the list that will hold the variants."""
    timed: list[Variant] = []

    def measure(variants: list[Variant], *_: Any, base: str, **__: Any) -> dict[str, Any]:
        timed.extend(variants)
        names = [variant.name for variant in variants]
        assert base == "dense"
        return {
            "threads": 1,
            "variants": {
                name: {
                    "batches": {"1": {"median_ms": place}},
                    "speedup_over": {
                        other: {"1": {"ratio": (before + 1) / (place + 1)}} for before, other in enumerate(names) if other != name
                    },
                }
                for place, name in enumerate(names)
            },
        }

    monkeypatch.setattr(measurement, "measure", measure)
    return timed


def test_the_time_of_the_same_graph_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = fake_measure(monkeypatch)
    context = make_context(
        tmp_path, first_dense=exported(1), first_int8=exported(1), seed_dense=exported(2), seed_int8=exported(2)
    )
    latency.main(context)
    assert [variant.name for variant in timed] == ["eager PyTorch", "dense", "int8"]
    assert context.of_seed(8).timings() == context.timings()
    assert set(context.timings()["variants"]["int8"]["speedup_over"]) == {"eager PyTorch", "dense"}


def test_a_model_with_another_graph_is_timed_and_compared_with_dense_of_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = fake_measure(monkeypatch)
    models = {"first_dense": exported(1), "first_int8": exported(1), "seed_dense": exported(2, 8), "seed_int8": exported(2)}
    context = make_context(tmp_path, **models)
    latency.main(context)
    assert [variant.name for variant in timed] == ["eager PyTorch", "dense", "int8", "dense of seed 8"]
    own = context.of_seed(8).timings()["variants"]
    assert set(own) == {"eager PyTorch", "dense", "int8"}
    assert (own["dense"]["timed_as"], own["dense"]["batches"]["1"]["median_ms"]) == ("dense of seed 8", 3)
    assert own["int8"]["speedup_over"]["dense"]["1"]["ratio"] == 4 / 3
    assert context.timings()["variants"]["int8"]["speedup_over"]["dense"]["1"]["ratio"] == 2 / 3


def test_the_timed_rows_are_validation_rows(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "latency")
    rows = latency.timed_rows(Table(context.clean.open() / "rows"))
    assert len(rows) == 64
    assert set(rows["split"]) == {"validation"}
