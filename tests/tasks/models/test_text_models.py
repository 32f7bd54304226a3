"""Text networks ignore padding, and can be rebuilt from their fields, pruned and exported."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.compression.steps.prune import select_channels
from tasks.core import registry
from tasks.core.compression import Network
from tasks.core.errors import UserError

TOKENS, CLASSES, LENGTH = 50, 3, 20
NETWORKS = {
    "bag": {"width": 16},
    "text_lstm": {"width": 16, "hidden": 8},
    "text_gru": {"width": 16, "hidden": 8, "cell": "gru"},
    "text_transformer": {"width": 16, "heads": [2, 1], "head_width": 8, "between": [16, 8], "length": LENGTH},
}


def texts(count: Any = 12, longest: Any = LENGTH) -> Any:
    """Token ids of texts of different lengths, the second one empty, with one id beyond the table."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, TOKENS, (count, LENGTH)).astype(np.int32)
    for row, length in enumerate(rng.integers(1, longest + 1, count)):
        numbers[row, length:] = 0
    if count > 2:
        numbers[1] = 0
        numbers[2, 0] = TOKENS + 7
    return numbers


def with_random_weights(network: Any) -> Any:
    """The network with random values in every tensor, so that a mistake in copying one changes the outputs."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        weight.data = torch.randn_like(weight) * 0.3
        if name in ("embedding.weight", "weight.weight"):
            weight.data[0] = 0
    return network.eval()


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Any:
    name = "text_lstm" if request.param == "text_gru" else request.param
    return with_random_weights(
        registry.build_network("nlp", name, {"tokens": TOKENS, "classes": CLASSES, **NETWORKS[request.param]})
    )


def test_every_text_gets_a_finite_logit_per_class(network: Any) -> None:
    outputs = network(torch.from_numpy(texts()))
    assert outputs.shape == (12, CLASSES)
    assert outputs.isfinite().all()


def test_padding_does_not_change_the_outputs(network: Any) -> None:
    numbers = texts(longest=8)
    whole, short = network(torch.from_numpy(numbers)), network(torch.from_numpy(numbers[:, :8].copy()))
    torch.testing.assert_close(whole, short)
    alone = torch.cat([network(torch.from_numpy(numbers[row : row + 1])) for row in range(len(numbers))])
    torch.testing.assert_close(whole, alone)


def test_word_order_matters_except_for_a_bag(network: Any) -> None:
    numbers = texts(1)
    numbers[0] = np.arange(1, LENGTH + 1)
    reversed_texts = numbers[:, ::-1].copy()
    same = torch.allclose(network(torch.from_numpy(numbers)), network(torch.from_numpy(reversed_texts)), atol=1e-5)
    assert same == (type(network).__name__ == "Bag")


def test_every_parameter_gets_a_gradient(network: Any) -> None:
    network.train()(torch.from_numpy(texts())).square().sum().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in idle if "bias" not in name] == []


def test_padding_gets_no_gradient(network: Any) -> None:
    network.train()(torch.from_numpy(texts())).square().sum().backward()
    assert not network.embedding.weight.grad[0].any()


def test_a_network_is_rebuilt_from_its_fields(network: Any) -> None:
    copy = type(network)(**network.fields)
    copy.load_state_dict(network.state_dict())
    numbers = torch.from_numpy(texts())
    assert isinstance(network, Network)
    assert torch.equal(copy.eval()(numbers), network(numbers))


def test_removing_channels_of_zeros_changes_no_output(network: Any) -> None:
    if type(network).__name__ == "TextTransformer":
        groups = {name: group for name, group in network.groups().items() if name != "width"}  # normalisation mixes its channels
    else:
        groups = network.groups()
    state = network.state_dict()
    keep = {name: torch.arange(group.size) for name, group in network.groups().items()}
    for name, group in groups.items():
        half = group.size // 2
        keep[name] = torch.arange(half)
        for key, dimension in group.producers:
            state[key].index_fill_(dimension, torch.arange(half, group.size), 0)
        for key, dimension, repeat in group.consumers:
            if dimension > 0:
                state[key].index_fill_(dimension, torch.arange(half * repeat, group.size * repeat), 0)
    numbers = torch.from_numpy(texts())
    torch.testing.assert_close(select_channels(network, keep)(numbers), network(numbers))


def test_the_exported_file_gives_the_outputs_of_the_network(network: Any) -> None:
    model = onnx_export.to_onnx(network, texts(), {}, "nlp")
    assert onnx_export.parity(network, model, texts(300), 1e-4)["equal_decisions_share"] == 1.0
    assert onnx_export.to_onnx(network, texts(), {}, "nlp") == model


def test_a_bag_ignores_tokens_beyond_its_table() -> None:
    network = with_random_weights(registry.build_network("nlp", "bag", {"tokens": 10, "classes": 2}))
    inside = np.array([[3, 4, 0, 0]], np.int32)
    outside = np.array([[3, 25, 4, 10]], np.int32)
    torch.testing.assert_close(network(torch.from_numpy(inside)), network(torch.from_numpy(outside)))


@pytest.mark.parametrize("name", ["bag", "text_lstm", "text_transformer"])
def test_impossible_fields_are_refused(name: Any) -> None:
    with pytest.raises(UserError, match="2 classes"):
        registry.build_network("nlp", name, {"tokens": TOKENS, "classes": 1})
