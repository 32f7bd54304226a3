"""EfficientNet-Lite0 takes pretrained weights, raw pixels of any size, and can be cut to its first blocks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks.compression import onnx_export
from tasks.core import onnx_model, registry
from tasks.core.compression import parameter_count
from tasks.core.errors import UserError
from tasks.models.vision.efficientnet_lite0 import EfficientnetLite0, SameConv
from tests.support.pretrained_networks import packaged_tensors


def pixels(count: Any = 2, channels: Any = 3, side: Any = 32) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8))


def test_the_whole_network_has_the_published_number_of_parameters() -> None:
    assert parameter_count(EfficientnetLite0(side=32, classes=1000)) == 4_652_008  # of the published ImageNet model


def test_fewer_blocks_have_fewer_parameters_and_the_expansion_of_the_next_block_as_head() -> None:
    network = EfficientnetLite0(side=32, classes=2, blocks=8)
    assert network.fc.in_features == 480
    assert parameter_count(network) == 294_306


def test_pretrained_tensors_are_taken_over_under_their_packaged_names() -> None:
    tensors = packaged_tensors(2)
    network = EfficientnetLite0(side=32, classes=2, blocks=2)
    network.load_pretrained(tensors)
    assert torch.equal(network.conv_stem.weight, tensors["_conv_stem.weight"])
    assert torch.equal(network.blocks[1].depthwise_conv.weight, tensors["_blocks.1._depthwise_conv.weight"])
    assert torch.equal(network.conv_head.weight, tensors["_blocks.2._expand_conv.weight"])
    assert torch.equal(network.bn1.running_mean, tensors["_blocks.2._bn0.running_mean"])


def test_weights_of_another_network_are_refused_by_the_first_tensor_that_does_not_fit() -> None:
    tensors = packaged_tensors(2)
    tensors["_blocks.1._project_conv.weight"] = torch.zeros(3, 3)
    with pytest.raises(UserError, match=r"blocks\.1\.project_conv\.weight is of shape \(3, 3\), \(24, 96, 1, 1\) is expected"):
        EfficientnetLite0(side=32, classes=2, blocks=2).load_pretrained(tensors)
    with pytest.raises(UserError, match=r"conv_stem\.weight is missing"):
        EfficientnetLite0(side=32, classes=2, blocks=2).load_pretrained({})


def test_a_pixel_of_127_is_zero_and_128_more_is_one() -> None:
    network = EfficientnetLite0(side=32, classes=2, blocks=1)
    normalised = torch.tensor([127.0, 255.0]) * network.scale[0, 0, 0] + network.shift[0, 0, 0]
    assert normalised.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_a_grey_picture_counts_as_a_colour_picture_of_equal_channels() -> None:
    grey = EfficientnetLite0(channels=1, side=32, classes=2, blocks=2).eval()
    colour = EfficientnetLite0(channels=3, side=32, classes=2, blocks=2).eval()
    colour.load_state_dict(grey.state_dict())
    picture = pixels(channels=1)
    assert torch.equal(grey(picture), colour(picture.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(("side", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (8, 5, 2), (9, 5, 2), (8, 3, 1), (5, 5, 1)])
def test_padding_is_that_of_tensorflow(side: Any, kernel: Any, stride: Any) -> None:
    conv = SameConv(1, 1, kernel, stride=stride, side=side)
    nn.init.ones_(conv.weight)
    total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    padded = functional.pad(torch.arange(side * side).float().view(1, 1, side, side), (total // 2, total - total // 2) * 2)
    assert torch.equal(
        conv(torch.arange(side * side).float().view(1, 1, side, side)), functional.conv2d(padded, conv.weight, stride=stride)
    )


def test_its_layers_are_the_network() -> None:
    network = EfficientnetLite0(side=32, classes=3, blocks=3).eval()
    assert torch.equal(nn.Sequential(*network.layers())(pixels()), network(pixels()))
    assert isinstance(network.layers()[-1], nn.Linear)


def test_a_student_of_fewer_blocks_takes_over_those_of_its_teacher() -> None:
    teacher = EfficientnetLite0(side=32, classes=3, blocks=4)
    teacher.load_pretrained(packaged_tensors(4))
    student = EfficientnetLite0(side=32, classes=3, blocks=2)
    student.take_over(teacher)
    assert torch.equal(student.blocks[1].project_conv.weight, teacher.blocks[1].project_conv.weight)
    assert torch.equal(student.conv_head.weight, teacher.blocks[2].expand_conv.weight)


@pytest.mark.parametrize("side", [32, 45])
def test_the_exported_file_answers_as_the_network_for_even_and_odd_sides(side: Any) -> None:
    network = EfficientnetLite0(side=side, classes=3, blocks=3).eval()
    network.load_pretrained(packaged_tensors(3))
    inputs = pixels(3, side=side).numpy()
    model = onnx_export.to_onnx(network, inputs, {"classes": ["a", "b", "c"]}, "vision")
    onnx_export.parity(network, model, inputs, 1e-4)
    types = [node.op_type for node in onnx_model.from_bytes(model).graph.node]
    assert "Pad" not in types
    rebuilt = registry.build_network("vision", "efficientnet_lite0", network.fields)
    rebuilt.load_state_dict(network.state_dict())
    assert torch.equal(rebuilt.eval()(pixels(side=side)), network(pixels(side=side)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"side": 28}, "at least 32 pixels"), ({"blocks": 17}, "1 to 16 blocks"), ({"channels": 2}, "grey"), ({"classes": 1}, "2")],
)
def test_a_wrong_field_is_refused_in_one_line(fields: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message):
        EfficientnetLite0(**{"side": 32, "classes": 2, **fields})


def narrow_student(share: float, side: int = 32) -> tuple[Any, Any, Any]:
    """A network of four blocks, a student of its first three of which two are whole, and what both get after those."""
    torch.manual_seed(0)
    teacher = EfficientnetLite0(side=side, classes=2, blocks=4).eval()
    student = EfficientnetLite0(side=side, classes=2, blocks=3, whole_blocks=2, inner_share=share).eval()
    student.take_over(teacher)
    with torch.no_grad():
        reached = nn.Sequential(*teacher.layers()[: student.shared_layers()])(pixels(8, side=side))
    student.narrow(teacher, reached)
    return teacher, student, reached


def test_a_student_as_wide_as_its_teacher_computes_what_the_teacher_computes() -> None:
    teacher, student, reached = narrow_student(1.0)
    with torch.no_grad():
        expected = teacher.blocks[2](reached)
        assert (student.blocks[2](reached) - expected).square().mean() < 1e-3 * expected.square().mean()  # a trace of ridge
    assert torch.equal(student.conv_head.weight, teacher.blocks[3].expand_conv.weight)


def test_a_narrow_student_has_a_share_of_the_channels_and_its_blocks_give_nearly_what_the_teachers_give() -> None:
    teacher, student, reached = narrow_student(0.5)
    block = student.blocks[2]
    assert block.bn1.num_features == 72
    assert student.fc.in_features == 72
    assert torch.equal(student.blocks[1].expand_conv.weight, teacher.blocks[1].expand_conv.weight)
    with torch.no_grad():
        expected, fitted = teacher.blocks[2](reached), block(reached)
        block.project_conv.weight.copy_(torch.randn_like(block.project_conv.weight) * teacher.blocks[2].project_conv.weight.std())
        random = block(reached)
    assert (fitted - expected).square().mean() < 0.1 * (random - expected).square().mean()


def test_a_narrow_student_is_built_anew_from_its_fields() -> None:
    _, student, _ = narrow_student(0.5)
    again = EfficientnetLite0(**student.fields)
    again.load_state_dict(student.state_dict())
    assert torch.equal(again.eval()(pixels()), student(pixels()))
