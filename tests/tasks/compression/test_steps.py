"""Each step makes its model smaller, does not change its input, and is reproducible."""

import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tasks.compression import onnx_export, teacher_training
from tasks.compression.steps.distill import Distill
from tasks.compression.steps.prune import Prune, declared_groups, importance, select_channels
from tasks.compression.steps.quantize import Quantize, _CalibrationRows
from tasks.core import onnx_model, registry
from tasks.core.compression import ChannelGroup, Network, parameter_count
from tasks.core.errors import UserError
from tasks.models.vision.cnn import Cnn
from tasks.stages import compress
from tests.support import tiny_images

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def network() -> Any:
    return tiny_images.fitted_network()


@pytest.fixture(scope="module")
def content(network: Any) -> Any:
    inputs = tiny_images.compression_context(Path()).inputs
    return onnx_export.to_onnx(network, inputs, {"classes": list(tiny_images.NAMES)}, "bars")


@pytest.fixture
def context(tmp_path: Path) -> Any:
    return tiny_images.compression_context(tmp_path)


class Flat(nn.Module):
    """Images (B, 1, 8, 8) to logits (B, 2), through a flattened feature map: each channel spans 64 entries."""

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.fields = {"width": width}
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.head = nn.Linear(width * 64, 2)

    def forward(self, inputs_BCHW: Any) -> Any:
        return self.head(self.conv(inputs_BCHW.float() / 255).relu().flatten(1))

    def groups(self) -> Any:
        producers = (("conv.weight", 0), ("conv.bias", 0))
        return {
            "conv": ChannelGroup(
                self.fields["width"], producers, (("head.weight", 1, 64),), lambda fields, count: {**fields, "width": count}
            )
        }


# Pruning


def test_removing_channels_of_zeros_changes_no_output(context: Any) -> None:
    torch.manual_seed(0)
    network = Flat().eval()
    with torch.no_grad():
        network.conv.weight[[1, 4, 5]] = 0
        network.conv.bias[[1, 4, 5]] = 0
    importances = importance(network, declared_groups(network), context, "norm")["conv"]
    keep = importances.argsort(descending=True)[:13].sort().values
    pruned = select_channels(network, {"conv": keep})
    assert pruned.fields == {"width": 13}
    assert set(range(16)) - set(keep.tolist()) == {1, 4, 5}
    rows = torch.from_numpy(context.validation_inputs)
    torch.testing.assert_close(pruned(rows), network(rows))


@pytest.mark.parametrize("kind", ["norm", "taylor"])
def test_a_channel_that_nothing_reads_has_importance_0(network: Any, context: Any, kind: Any) -> None:
    copy = Cnn(**network.fields).eval()
    copy.load_state_dict(network.state_dict())
    with torch.no_grad():
        copy.convs[1].weight[:, 3] = 0
    importances = importance(copy, declared_groups(copy), context, kind)
    assert importances["convs.0"][3] == 0
    assert (importances["convs.1"] > 0).all()
    assert {name: len(values) for name, values in importances.items()} == {
        name: group.size for name, group in copy.groups().items()
    }


def test_pruning_narrows_every_group_and_keeps_the_score(network: Any, context: Any) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pruned = Prune(ratio=0.5, effort=2)(network, context)
    assert isinstance(pruned, Network)
    assert pruned.fields["widths"] == [8, 8, 8]
    assert parameter_count(pruned) < 0.5 * parameter_count(network)
    assert not pruned.training
    with torch.no_grad():
        assert context.score(pruned(torch.from_numpy(context.validation_inputs)).numpy()) > 0.8
    assert context.notes["prune"]["channels"] == {f"convs.{number}": [16, 8] for number in range(3)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_network_scope_removes_the_least_important_channels() -> None:
    importances = {"rich": torch.linspace(0.9, 1.1, 16), "poor": torch.tensor([1.0] * 4 + [0.001] * 12)}
    kept = Prune(ratio=0.4, scope="network", multiple_of=1).kept_channels(importances)
    assert len(kept["poor"]) < len(kept["rich"])
    assert kept["poor"].tolist() == [0, 1, 2, 3]


def test_widths_are_multiples_of_a_block_and_never_0() -> None:
    importances = {"a": torch.rand(24), "b": torch.rand(6)}
    assert {name: len(kept) for name, kept in Prune(ratio=0.6).kept_channels(importances).items()} == {"a": 8, "b": 6}
    assert len(Prune(ratio=0.99, multiple_of=1, keep_at_least=0.25).kept_channels(importances)["a"]) == 6


def test_a_network_without_a_channel_to_remove_is_refused_in_one_line(context: Any) -> None:
    with pytest.raises(UserError, match="Sequential has no channels to prune; leave 'prune' out of its recipes"):
        Prune()(nn.Sequential(nn.Flatten(), Floats(), nn.Linear(64, 2)), context)


class Floats(nn.Module):
    def forward(self, inputs: Any) -> Any:
        return inputs.float()


# Distilling


def test_a_student_is_smaller_and_trains(network: Any, context: Any) -> None:
    student = Distill(width_share=0.5, effort=3)(network, context)
    assert student.fields["widths"] == [8, 8, 8]
    with torch.no_grad():
        assert context.score(student(torch.from_numpy(context.validation_inputs)).numpy()) > 0.8


def test_the_student_does_not_depend_on_earlier_random_numbers(network: Any, tmp_path: Path) -> None:
    students = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        students.append(Distill(effort=0.5)(network, tiny_images.compression_context(tmp_path / str(seed))).state_dict())
    assert all(torch.equal(tensor, students[1][name]) for name, tensor in students[0].items())


def test_distillation_pulls_towards_the_teacher_and_validation_uses_the_loss_alone() -> None:
    case = tiny_images.Bars()
    teacher = nn.Linear(3, 2).eval()
    objective = teacher_training.distillation_objective(case.problem, case.training, teacher, 1.0, 3.0)
    rows, targets = torch.randn(32, 3), torch.randint(0, 2, (32,))
    assert float(objective(teacher, rows, targets).detach()) == pytest.approx(0, abs=1e-6)
    assert float(objective(nn.Linear(3, 2), rows, targets).detach()) > 0.001
    with torch.no_grad():
        assert float(objective(teacher, rows, targets)) == pytest.approx(
            float(case.problem.loss(teacher(rows), targets, case.training))
        )


def test_distillation_of_numbers_is_a_squared_error_and_of_classes_a_divergence() -> None:
    case = tiny_images.Bars()
    ours, theirs = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 3.0]])
    assert float(case.problem.distillation_loss(ours, theirs, torch.zeros(1, 2), 2.0)) == pytest.approx(0.5)
    soft, expected = torch.softmax(ours / 2, 1), torch.softmax(theirs / 2, 1)
    divergence = float((expected * (expected / soft).log()).sum()) * 2**2
    assert float(case.problem.distillation_loss(ours, theirs, torch.zeros(1, dtype=torch.int64), 2.0)) == pytest.approx(
        divergence, rel=1e-4
    )


# Quantizing


def test_a_convolutional_network_computes_in_integers_from_pixels_to_the_last_product(content: Any, context: Any) -> None:
    quantized = Quantize()(content, context)
    assert len(quantized) < 0.65 * len(content)
    assert context.notes["quantize"]["mode"] == "static"
    assert context.notes["quantize"]["left_in_float"] == []
    assert (
        context.score(onnx_model.predict(quantized, context.validation_inputs))
        >= context.notes["quantize"]["score_before"] - 0.05
    )
    graph = onnx_model.from_bytes(quantized).graph
    operators = [node.op_type for node in graph.node]
    assert "Cast" not in operators, "pixels reach the convolution without a cast"
    assert operators[-1] in ("Gemm", "MatMul", "Add"), "the outputs are not quantized"
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kernels = [tensor for tensor in weights.values() if len(tensor.dims) == 4]
    assert kernels
    assert all(tensor.data_type == onnx.TensorProto.INT8 for tensor in kernels)


def test_a_quantized_file_keeps_its_metadata(content: Any, context: Any) -> None:
    quantized = Quantize()(content, context)
    assert onnx_model.read_metadata(onnx_model.from_bytes(quantized)) == onnx_model.read_metadata(onnx_model.from_bytes(content))


def test_the_layers_with_the_largest_error_are_left_in_float_until_the_score_holds(content: Any, context: Any) -> None:
    """One channel gets weights far larger than its neighbours', which makes the range of its layer's outputs too coarse."""
    model = onnx_model.from_bytes(content)
    kernels = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    damaged = onnx.numpy_helper.to_array(kernels[0]).copy()
    damaged[0] *= 1e5
    kernels[0].CopyFrom(onnx.numpy_helper.from_array(damaged, kernels[0].name))
    damaged_context = tiny_images.compression_context(context.scratch.parent / "spoilt")
    Quantize(max_drop=0.0, max_float_nodes=2)(onnx_model.to_bytes(model), damaged_context)
    notes = damaged_context.notes["quantize"]
    assert notes["budget_kept"] or len(notes["left_in_float"]) == 2
    assert set(notes["left_in_float"]) <= set(notes["nodes"])


def test_of_a_file_without_names_of_nodes_one_layer_at_a_time_is_left_in_float(content: Any, context: Any) -> None:
    scores = iter([1.0, 0.0, 1.0])
    file = onnx_export.with_short_names(content)
    quantized = Quantize()(file, replace(context, score=lambda outputs: next(scores)))
    notes = context.notes["quantize"]
    assert len(notes["left_in_float"]) == 1
    assert len(set(notes["nodes"])) == len(notes["nodes"]) > 1
    kernels = [tensor.data_type for tensor in onnx_model.from_bytes(quantized).graph.initializer if len(tensor.dims) >= 2]
    assert sorted(kernels).count(onnx.TensorProto.INT8) == len(kernels) - 1


def test_quantizing_in_another_process_gives_the_same_bytes(content: Any, context: Any, tmp_path: Path) -> None:
    (tmp_path / "given.onnx").write_bytes(content)
    program = f"""
from hashlib import sha256
from pathlib import Path
from tests.support import tiny_images
from tasks.compression.steps.quantize import Quantize
content = Path({str(tmp_path / "given.onnx")!r}).read_bytes()
print(sha256(Quantize()(content, tiny_images.compression_context(Path({str(tmp_path / "other")!r})))).hexdigest())
"""
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == sha256(Quantize()(content, context)).hexdigest()


@pytest.mark.parametrize("calibration", ["percentile", "entropy"])
def test_other_calibrations_work_too(content: Any, context: Any, calibration: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Quantize(calibration=calibration, calibration_rows=40)(content, context)
    assert context.notes["quantize"]["budget_kept"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("side", "rows"), [(28, 32), (160, 6), (512, 1)])
def test_large_pictures_are_calibrated_a_few_at_a_time(side: int, rows: int) -> None:
    batches = _CalibrationRows(np.zeros((40, 3, side, side), np.uint8))
    first = batches.get_next()
    assert first is not None
    assert len(first["inputs"]) == rows


def test_text_networks_are_quantized_dynamically_with_smaller_embeddings(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(500, 64), nn.LSTM(64, 64, batch_first=True), _Last(), nn.Linear(64, 2)).eval()
    network.fields = {}  # type: ignore[assignment]
    tokens = np.random.default_rng(0).integers(0, 500, (80, 12))
    content = onnx_export.to_onnx(network, tokens, {}, "text")
    expected = onnx_model.predict(content, tokens).argmax(1)
    context = tiny_images.compression_context(
        tmp_path,
        inputs=tokens,
        validation_inputs=tokens,
        score=lambda outputs: float((outputs.argmax(1) == expected).mean()),
    )
    quantized = Quantize(max_drop=0.1)(content, context)
    assert context.notes["quantize"]["mode"] == "dynamic"
    assert len(quantized) < 0.4 * len(content)


class _Last(nn.Module):
    def forward(self, outputs: Any) -> Any:
        return outputs[0][:, -1]


# The stage


def test_every_registered_step_has_a_docstring_and_names_what_it_changes() -> None:
    for name in registry.registered_names(registry.STEPS_FOLDER):
        step = registry.build(registry.STEPS_FOLDER, name, {})
        assert step.changes in ("network", "format")
        assert compress.step_name(step) == name
        assert type(step).__doc__


def test_the_stage_writes_the_file_the_network_and_a_report(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "compress", "pruned-int8", (Prune(effort=0.5), Quantize(max_drop=1.0)))
    compress.main(context)
    folder = context.compressed("pruned-int8").open()
    report = context.compressed("pruned-int8").json("report.json")
    assert sorted(path.name for path in folder.iterdir()) == ["checksums.json", "model.onnx", "network", "report.json"]
    assert report["bytes"] == (folder / "model.onnx").stat().st_size
    assert [step["step"] for step in report["steps"]] == ["prune", "quantize"]
    assert report["fields"]["widths"] == [8, 8, 8]
    assert report["parity"]["exported"]["max_difference"] < 1e-4
    assert report["parity"]["shipped"]["equal_decisions_share"] > 0.9
    assert not (tmp_path / ".bonsai" / "scratch" / context.event_log.stage).exists()
    first = (folder / "checksums.json").read_bytes()
    compress.main(tiny_images.stage_context(tmp_path, "compress", "pruned-int8", context.recipe))
    assert (folder / "checksums.json").read_bytes() == first


def test_no_step_gets_a_test_row(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "compress", "dense")
    built = compress.build_context(context, {"classes": list(tiny_images.NAMES)})
    table = tiny_images.rows()
    pixels = {image.tobytes() for image in np.concatenate([built.inputs, built.validation_inputs])}
    assert pixels.isdisjoint(set(table.loc[table["split"] == "test", "pixels"]))
    assert len(pixels) == (table["split"] != "test").sum()
