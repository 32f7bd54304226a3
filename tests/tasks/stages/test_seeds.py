"""Three seeds go through train, compress, evaluate and release, and the chosen seed's model is the one that is released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.compression.steps.quantize import Quantize
from tasks.core.settings import Training
from tasks.evaluation import latency
from tasks.stages import compress, evaluate, release, train
from tasks.stages import latency as latency_stage
from tests.support import tiny_images


@pytest.mark.slow
def test_three_seeds_go_through_all_stages_and_validation_chooses_the_released_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "PROCESSES", 3)
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)
    for seed in (None, 8, 9):
        training = Training(epochs=2, batch_size=32, learning_rate=0.01, precision="fp32", seed=seed or 7)

        def context(stage: str, name: str = "", recipe: tuple[Quantize, ...] = ()) -> Any:
            made = tiny_images.stage_context(tmp_path, stage, name, recipe, training=training)  # noqa: B023
            monkeypatch.setattr(made.event_log, "event", lambda *_, **__: None, raising=False)
            return replace(made, seed=seed, seeds=(8, 9))  # noqa: B023

        train.main(context("train"))
        for name, recipe in (("dense", ()), ("int8", (Quantize(max_drop=1.0),))):
            compress.main(context("compress", name, recipe))
            evaluate.main(context("evaluate", name, recipe))
    latency_stage.main(replace(tiny_images.stage_context(tmp_path, "latency"), seeds=(8, 9)))
    first = replace(tiny_images.stage_context(tmp_path, "release"), seeds=(8, 9))
    release.main(first)
    report = first.release.json("seeds.json")
    assert report["seeds"] == [7, 8, 9]
    scores = dict(zip(report["seeds"], report["recipes"][0]["validation"]["values"], strict=True))
    assert report["chosen"] == max(scores, key=lambda seed: scores[seed])
    verdict = first.release.json("verdict.json")
    assert verdict["seeds"]["chosen"] == report["chosen"]
    chosen = first.of_seed(None if report["chosen"] == 7 else report["chosen"])
    assert set(first.of_seed(8).timings()["variants"]) == {"eager PyTorch", "dense", "int8"}
    if verdict["released"]:
        released = (chosen.compressed(verdict["released"]).open() / "model.onnx").read_bytes()
        assert (first.release.open() / "model.onnx").read_bytes() == released
    assert "## Seeds\n\nSeeds 7, 8, 9; the candidates are the models of seed" in (first.release.open() / "card.md").read_text()
