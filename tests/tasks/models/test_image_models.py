"""Convolutional networks can be rebuilt from their fields, pruned by group, and exported."""

import io
from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core import onnx_model, registry
from tasks.core.compression import Network
from tasks.core.errors import UserError
from tasks.models.vision.cnn import Cnn

SMALL: dict[str, Any] = {"widths": [4, 6, 8, 10, 12], "mean": [0.1], "std": [0.3]}


def images(count: Any = 4, channels: Any = 1, side: Any = 28) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8))


def with_random_weights(network: Any) -> Any:
    """The network with random values in every tensor, so that a mistake in copying one changes the outputs."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("norms.weight"):
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "running_var" in name else torch.randn_like(tensor) * 0.3)
    for norm in network.norms:
        norm.weight.data.fill_(1.0)
    return network.eval()


def pruned_by_hand(network: Any, keep: Any) -> Any:
    """The same class with fewer channels, the kept slices copied as `groups` describes."""
    fields, state = network.fields, dict(network.state_dict())
    for name, group in network.groups().items():
        fields = group.resize(fields, len(keep[name]))
        for key, dim in group.producers:
            state[key] = state[key].index_select(dim, keep[name])
        for key, dim, repeat in group.consumers:
            spread = (keep[name][:, None] * repeat + torch.arange(repeat)).flatten()
            state[key] = state[key].index_select(dim, spread)
    small = type(network)(**fields)
    small.load_state_dict(state)
    return small.eval()


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 64), (1, 9)])
def test_an_image_of_any_size_and_channels_gets_a_logit_per_class(channels: Any, side: Any) -> None:
    widths = [4, 6, 8, 10, 12, 8, 8] if side > 9 else [4, 6, 8]
    network = Cnn(channels=channels, side=side, classes=7, widths=widths, mean=[0.5] * channels, std=[0.2] * channels)
    assert network.eval()(images(3, channels, side)).shape == (3, 7)


def test_bytes_and_floats_on_the_same_scale_give_the_same_logits() -> None:
    network = with_random_weights(Cnn(**SMALL))
    assert torch.equal(network(images()), network(images().float()))


def test_a_network_is_rebuilt_from_its_fields_and_tensors() -> None:
    network = with_random_weights(Cnn(**SMALL))
    assert isinstance(network, Network)
    copy: Any = registry.build_network("vision", "cnn", network.fields)
    copy.load_state_dict(network.state_dict())  # type: ignore[attr-defined]
    assert torch.equal(network(images()), copy.eval()(images()))


def test_a_network_with_half_of_every_group_runs() -> None:
    network = with_random_weights(Cnn(**SMALL))
    keep = {name: torch.arange(0, group.size, 2) for name, group in network.groups().items()}
    small = pruned_by_hand(network, keep)
    assert small.fields["widths"] == [2, 3, 4, 5, 6]
    assert small(images()).shape == (4, 10)


def test_removing_channels_that_nothing_reads_changes_no_output() -> None:
    network = with_random_weights(Cnn(**SMALL))
    keep = {name: torch.arange(0, group.size, 2) for name, group in network.groups().items()}
    for name, group in network.groups().items():
        silent = torch.ones(group.size, dtype=torch.bool)
        silent[keep[name]] = False
        for key, dim, _ in group.consumers:
            if dim == 1:
                network.state_dict()[key][:, silent] = 0  # nothing reads them
    torch.testing.assert_close(pruned_by_hand(network, keep)(images()), network(images()))


def test_each_group_is_resized_independently() -> None:
    network: Any = Cnn(**SMALL)
    for position, group in enumerate(network.groups().values()):
        resized = group.resize(network.fields, 1)["widths"]
        assert resized == [1 if i == position else width for i, width in enumerate(SMALL["widths"])]


def test_pooling_before_normalisation_is_the_same_function_as_after() -> None:
    network = with_random_weights(Cnn(**SMALL))
    expected = network(images())
    exported = torch.export.export(network, (images(),)).module()
    torch.testing.assert_close(exported(images()), expected)


def test_the_onnx_file_gives_the_same_outputs_without_batch_normalisation() -> None:
    import onnx

    network = with_random_weights(Cnn(**SMALL))
    content = onnx_export.to_onnx(network, images().numpy(), {}, "toy")
    torch.testing.assert_close(
        torch.from_numpy(onnx_model.predict(content, images().numpy())), network(images()), atol=1e-4, rtol=1e-4
    )
    operators = {node.op_type for node in onnx.load(io.BytesIO(content)).graph.node}
    assert "BatchNormalization" not in operators


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"widths": [4, 6]}, "the stem and two positive widths per block"),
        ({"widths": [4, 6, 0]}, "the stem and two positive widths per block"),
        ({"side": 8}, "side=8 is too small for 3 blocks"),
        ({"channels": 3}, "one mean and one positive std for each of 3 channels"),
        ({"std": [0.0]}, "one mean and one positive std"),
        ({"classes": 1}, "needs at least 2"),
    ],
)
def test_impossible_shapes_are_refused_in_one_line(wrong: Any, message: Any) -> None:
    with pytest.raises(UserError) as refusal:
        Cnn(**{**SMALL, "widths": [4] * 7, **wrong})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
