"""The exported file is self-contained, describes itself, and gives the network's outputs."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tasks.compression import onnx_export
from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.models.vision.cnn import Cnn

ROOT = Path(__file__).parents[3]
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
STATE = {"classes": ["zero", "één"], "scale": 0.5}


class TextNetwork(nn.Module):
    """Token numbers (B, T), 0 for none, to logits (B, 3), by a recurrent network or by attention."""

    def __init__(self, *, kind: str) -> None:
        super().__init__()
        self.fields = {"kind": kind}
        self.words = nn.Embedding(50, 16)
        self.middle = (
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
            if kind == "attention"
            else getattr(nn, kind)(16, 16, batch_first=True, bidirectional=True)
        )
        self.head = nn.Linear(16 if kind == "attention" else 32, 3)

    def forward(self, inputs_BT: Any) -> Any:
        x_BTD = self.words(inputs_BT)
        if isinstance(self.middle, nn.TransformerEncoderLayer):
            x_BTD = self.middle(x_BTD, src_key_padding_mask=inputs_BT == 0)
        else:
            x_BTD, _ = self.middle(x_BTD)
        return self.head(x_BTD.masked_fill((inputs_BT == 0).unsqueeze(-1), -1e4).amax(1))


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    network = Cnn(side=8, classes=2, widths=(8, 8, 16)).train()
    network(torch.from_numpy(IMAGES))  # so that batch normalisation has statistics
    return network.eval()


@pytest.fixture(scope="module")
def content(network: Any) -> Any:
    return onnx_export.to_onnx(network, IMAGES, STATE, "bars")


def test_the_file_gives_the_outputs_of_the_network_for_any_batch_size(network: Any, content: Any) -> None:
    report = onnx_export.parity(network, content, IMAGES, 1e-5)
    assert report["rows"] == 300
    assert report["max_difference"] < 1e-5
    assert report["equal_decisions_share"] == 1
    assert onnx_model.predict(content, IMAGES[:1]).shape == (1, 2)


def test_a_file_with_other_outputs_is_refused(network: Any, content: Any) -> None:
    other = Cnn(**network.fields).eval()
    with pytest.raises(RuntimeError, match=r"differs from the network by .*; .* is allowed"):
        onnx_export.parity(other, content, IMAGES, 1e-4)
    assert onnx_export.parity(other, content, IMAGES, None)["max_difference"] > 0.01


def test_the_file_describes_itself_and_not_the_machine(network: Any, content: Any) -> None:
    model = onnx_model.from_bytes(content)
    expected = {"use_case": "bars", "architecture": "cnn", "fields": network.fields, "learnt": STATE}
    assert onnx_model.read_metadata(model) == expected
    assert (model.producer_name, model.opset_import[0].version) == ("bonsai", onnx_export.OPSET)
    assert str(ROOT).encode() not in content
    assert b"cnn.py" not in content


def test_scaling_and_normalisation_disappear_into_the_convolutions(content: Any) -> None:
    operators = {node.op_type for node in onnx_model.from_bytes(content).graph.node}
    assert operators.isdisjoint({"Mul", "Add", "BatchNormalization"})


def test_exporting_does_not_change_the_network(network: Any) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    onnx_export.to_onnx(network, IMAGES[:1], STATE, "bars")
    assert network.training
    network.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_another_process_writes_the_same_bytes(network: Any, content: Any, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "state.pt")
    program = f"""
import numpy as np, torch
from hashlib import sha256
from tasks.compression import onnx_export
from tasks.models.vision.cnn import Cnn
network = Cnn(**{network.fields!r})
network.load_state_dict(torch.load({str(tmp_path / "state.pt")!r}))
images = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
print(sha256(onnx_export.to_onnx(network, images, {STATE!r}, "bars")).hexdigest())
"""
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == sha256(content).hexdigest()


@pytest.mark.parametrize("kind", ["attention", "LSTM", "GRU"])
def test_text_networks_are_exported_too(kind: Any) -> None:
    torch.manual_seed(0)
    network = TextNetwork(kind=kind).eval()
    tokens = np.random.default_rng(0).integers(1, 50, (40, 12))
    tokens[:, 9:] = 0
    content = onnx_export.to_onnx(network, tokens, {"words": ["a"]}, "reads")
    assert onnx_export.parity(network, content, tokens, 1e-5)["equal_decisions_share"] == 1


def test_scaling_stays_where_a_convolution_pads_since_padding_is_not_scaled() -> None:
    model = _scaled_convolution(pads=[1, 1, 1, 1])
    onnx_export.fold_scaling(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Mul", "Add", "Conv"]


def test_folding_the_scaling_keeps_the_outputs() -> None:
    model = _scaled_convolution(pads=[0, 0, 0, 0])
    before = onnx_model.predict(onnx_model.to_bytes(model), IMAGES)
    onnx_export.fold_scaling(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Conv"]
    np.testing.assert_allclose(onnx_model.predict(onnx_model.to_bytes(model), IMAGES), before, rtol=1e-4, atol=1e-4)


def test_a_file_that_reads_other_files_is_refused(content: Any) -> None:
    model = onnx_model.from_bytes(content)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    for read in (onnx_model.from_bytes, onnx_model.create_session):
        with pytest.raises(UserError, match="in another file; only files that hold all their data are read"):
            read(model.SerializeToString())


def _external(place: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="secret", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def _hide_in_function(model: onnx.ModelProto) -> None:
    constant = model.functions.add(name="f", domain="local").node.add(op_type="Constant")
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(_external("password"))


def _hide_in_function_default(model: onnx.ModelProto) -> None:
    function = model.functions.add(name="f", domain="local")
    function.attribute_proto.add(name="v", type=onnx.AttributeProto.TENSOR).t.CopyFrom(_external("password"))


def _hide_in_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(_external("password"))


def _hide_in_sparse_attribute(model: onnx.ModelProto) -> None:
    attribute = model.graph.node.add(op_type="Constant").attribute.add(name="sparse_value")
    attribute.sparse_tensor.values.CopyFrom(_external("password"))


def _hide_in_branch(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="If").attribute.add(name="then_branch").g.initializer.append(_external("password"))


@pytest.mark.parametrize(
    "hide",
    [
        _hide_in_function,
        _hide_in_function_default,
        _hide_in_sparse_initializer,
        _hide_in_sparse_attribute,
        _hide_in_branch,
    ],
)
def test_a_tensor_in_another_file_is_found_wherever_it_is_hidden(content: Any, hide: Any) -> None:
    model = onnx.load_from_string(content)
    hide(model)
    with pytest.raises(UserError, match="keeps 'secret' in another file"):
        onnx_model.from_bytes(model.SerializeToString())


def test_a_file_that_is_no_model_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="not an ONNX file"):
        onnx_model.create_session(b"\x89PNG not a model at all")


def _scaled_convolution(pads: Any) -> Any:
    generator = np.random.default_rng(1)
    values = {
        "scale": np.full((1, 1, 1, 1), 0.01),
        "shift": np.full((1, 1, 1, 1), -0.7),
        "weight": generator.normal(size=(4, 1, 3, 3)),
    }
    nodes = [
        helper.make_node("Cast", ["inputs"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"], "mul"),
        helper.make_node("Add", ["scaled", "shift"], ["shifted"], "add"),
        helper.make_node("Conv", ["shifted", "weight"], ["outputs"], "conv", pads=pads),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", 4, None, None])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=10)


def test_the_checker_supports_the_opset() -> None:
    assert onnx.defs.onnx_opset_version() >= onnx_export.OPSET


def test_short_names_make_a_file_smaller_and_change_no_answer(content: bytes) -> None:
    short = onnx_export.with_short_names(content)
    assert len(short) < len(content) - 500
    assert np.array_equal(onnx_model.predict(short, IMAGES), onnx_model.predict(content, IMAGES))
    before, after = onnx_model.from_bytes(content), onnx_model.from_bytes(short)
    assert onnx_model.read_metadata(after) == onnx_model.read_metadata(before)
    assert [node.op_type for node in after.graph.node] == [node.op_type for node in before.graph.node]
    assert [value.name for value in (*after.graph.input, *after.graph.output)] == ["inputs", "outputs"]
    assert max(len(tensor.name) for tensor in after.graph.initializer) <= 4
    assert onnx_export.with_short_names(short) == short


def test_a_graph_with_others_inside_keeps_its_names() -> None:
    value = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch"])
    branch = helper.make_graph([helper.make_node("Identity", ["inputs"], ["inner"])], "branch", [], [value])
    branch.output[0].name = "inner"
    graph = helper.make_graph(
        [helper.make_node("If", ["condition"], ["outputs"], "choose", then_branch=branch, else_branch=branch)],
        "graph",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch"])],
        [value],
        [numpy_helper.from_array(np.array(True), "condition")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", onnx_export.OPSET)], ir_version=10)
    content = onnx_model.to_bytes(model)
    assert onnx_export.with_short_names(content) == content
