"""Operations are counted as in the textbook; latency is measured in turn, in processes of their own, with intervals."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tasks.compression import onnx_export
from tasks.core.compression import parameter_count
from tasks.core.storage.artifacts import Checkpoint
from tasks.evaluation import latency, model_size, timing_process
from tasks.evaluation.latency import Variant
from tasks.models.vision.cnn import Cnn
from tests.support import tiny_images

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, inputs_BTD: Any) -> Any:
        return self.layer(inputs_BTD)


def test_multiply_accumulates_of_convolutions_match_the_formula() -> None:
    network = Cnn(side=8, classes=2, widths=(4, 6, 8))
    expected = 7 * 7 * 2 * 2 * 1 * 4 + 7 * 7 * 9 * 4 * 6 + 3 * 3 * 9 * 6 * 8 + 8 * 2
    results = model_size.macs(network, IMAGES)
    assert results == expected
    assert network.training


def test_recurrence_and_attention_are_counted_too() -> None:
    series = np.zeros((1, 12, 16), np.float32)
    assert model_size.macs(nn.LSTM(16, 10, batch_first=True).eval(), series) == 12 * 4 * 10 * (16 + 10)
    assert model_size.macs(Attends().eval(), series) == 12 * (16 * 48 + 16 * 16 + 2 * 16 * 32) + 2 * 12 * 12 * 16


def test_all_parameters_are_counted() -> None:
    assert parameter_count(nn.Linear(3, 4)) == 16


@pytest.fixture(scope="module")
def timing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("timing")
    small, large = Cnn(side=8, classes=2, widths=(4, 4, 4)).eval(), Cnn(side=8, classes=2, widths=(96, 96, 96)).eval()
    for name, network in (("small", small), ("large", large)):
        (folder / f"{name}.onnx").write_bytes(onnx_export.to_onnx(network, IMAGES, {}, "bars"))
    Checkpoint(folder / "network", "vision").write(large, {})
    patch = pytest.MonkeyPatch()
    patch.setattr(latency, "PROCESSES", 3)
    patch.setattr(latency, "MAX_ROUNDS", 3)
    results = latency.measure(
        [
            Variant(name="eager PyTorch", runtime="eager", path=folder / "network", use_case="vision"),
            Variant(name="large", runtime="onnx", path=folder / "large.onnx"),
            Variant(name="small", runtime="onnx", path=folder / "small.onnx"),
        ],
        IMAGES,
        folder,
        base="large",
    )
    patch.undo()
    assert not (folder / "latency-inputs.npy").exists()
    return results


def test_each_variant_is_timed_at_both_batch_sizes_in_every_round_of_its_processes(timing: Any) -> None:
    assert timing["threads"] == 1
    assert (timing["processes"], timing["rounds"]) == (3, 9)
    for name, results in timing["variants"].items():
        processes = 2 if name == "eager PyTorch" else 3
        for batch in ("1", "64"):
            one = results["batches"][batch]
            assert len(one["process_medians_ms"]) == processes
            assert len(one["round_medians_ms"]) == 3 * processes
            assert 0 < one["low_ms"] <= one["median_ms"] <= one["high_ms"]
            assert one["p95_ms"] >= min(one["round_medians_ms"])
            assert one["runs"] >= 3 * processes * timing_process.MIN_RUNS
        assert results["load_s"] > 0
        assert results["peak_memory_bytes"] > results["model_memory_bytes"] >= 0


def test_a_model_with_far_fewer_multiplications_is_faster(timing: Any) -> None:
    results = timing["variants"]["small"]["speedup_over"]["large"]["64"]
    assert results["verdict"] == "faster"
    assert 1 < results["low"] <= results["ratio"] <= results["high"]
    assert results["low"] <= results["at_least"] <= results["ratio"]
    assert timing["variants"]["large"]["speedup_over"]["small"]["64"]["verdict"] == "slower"


def test_the_machine_is_named(timing: Any) -> None:
    assert timing["machine"]["torch"] == torch.__version__
    assert timing["machine"]["cpu"]
    assert timing["load_before"]["load_1min"] >= 0


def test_a_worker_that_dies_is_an_error_that_names_it_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    with pytest.raises(RuntimeError, match="the process that times 'broken' died"):
        latency.measure([Variant(name="broken", runtime="onnx", path=tmp_path / "broken.onnx")], IMAGES, tmp_path, base="broken")


def test_a_worker_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_export.to_onnx(tiny_images.Bars().build_model({}), IMAGES, {}, "bars"))
    np.save(tmp_path / "rows.npy", IMAGES)
    variant = Variant(name="orphan", runtime="onnx", path=tmp_path / "model.onnx")
    with timing_process.start(variant, tmp_path / "rows.npy", 1) as worker:
        worker.wait()
        worker.load()
        pid = worker.process.pid
        assert worker.process.stdin
        worker.process.stdin.close()
        assert worker.process.wait(timeout=60) == 0
        worker.process.stdin = None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
