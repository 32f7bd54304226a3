"""The networks of price windows are scale invariant, keep their quantiles in order, and can be pruned and exported."""

from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.compression.steps.prune import select_channels
from tasks.core import onnx_model, registry
from tasks.use_cases.finance import window_layers

NAMES = ("har_mlp", "series_lstm", "tcn", "series_transformer")
WINDOW = 66


def windows(rows: Any = 32, fear: Any = False, seed: Any = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, WINDOW)
    channels = [
        torch.randn(shape, generator=generator) * 0.7 - 0.5,
        torch.randn(shape, generator=generator) * 0.8,
        torch.rand(shape, generator=generator) - 0.5,
        torch.randint(0, 5, shape, generator=generator).float(),
        torch.full(shape, 2.0) + torch.rand(shape, generator=generator),
        torch.full(shape, 3.2) + torch.rand(shape, generator=generator),
    ]
    return torch.stack([*channels, torch.full(shape, 2.8)] if fear else channels, -1)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


def with_random_weights(name: Any, **fields: Any) -> Any:
    """A network with noise on every weight, so that no zero hides an effect."""
    torch.manual_seed(0)
    network = registry.build_network("finance", name, {"window": WINDOW, **fields}).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return network


@pytest.mark.parametrize("fear", [False, True])
def test_a_window_gives_three_outputs_with_the_quantiles_in_order(name: Any, fear: Any) -> None:
    outputs = with_random_weights(name, fear=fear)(windows(fear=fear))
    assert outputs.shape == (32, len(window_layers.OUTPUTS))
    assert (outputs[:, 2] < outputs[:, 1]).all()
    assert (outputs[:, 1] < 0).all()


def test_in_training_mode_each_member_has_outputs_and_otherwise_they_are_averaged() -> None:
    network = with_random_weights("har_mlp", members=4)
    apart = network.train()(windows())
    assert apart.shape == (32, 4, 3)
    torch.testing.assert_close(network.eval()(windows())[:, 0], apart[:, :, 0].mean(1))


def test_a_series_in_another_scale_differs_in_its_level_only() -> None:
    plain, wild = windows(), windows()
    wild[..., window_layers.LOG_VARIANCE] += np.log(9.0)
    wild[..., window_layers.RETURN] *= 3.0
    stem = window_layers.WindowEncoder(WINDOW, fear=False, news=False)
    calm, rough = stem(plain), stem(wild)
    torch.testing.assert_close(rough.level_B1, calm.level_B1 + np.log(9.0))
    torch.testing.assert_close(rough.days_BWC, calm.days_BWC, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rough.pooled_BP[:, 1:], calm.pooled_BP[:, 1:], rtol=1e-4, atol=1e-3)


def test_extreme_windows_give_finite_outputs(name: Any) -> None:
    wild = windows()
    wild[..., window_layers.LOG_VARIANCE] = -6.0
    wild[:, -1, window_layers.LOG_VARIANCE] = 9.0
    wild[:, -1, window_layers.RETURN] = -60.0
    assert torch.isfinite(with_random_weights(name)(wild)).all()
    assert torch.isfinite(with_random_weights(name)(torch.zeros(2, WINDOW, 6))).all()


def test_every_weight_gets_a_gradient_and_the_quantiles_do_not_train_the_variance(name: Any) -> None:
    network = with_random_weights(name, fear=True).train()
    window_layers.loss(network(windows(fear=True)), torch.rand(32, 2) + 0.1).backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum()] == []
    network.zero_grad()
    network(windows(fear=True))[..., 1:].sum().backward()
    assert network.head.plain.grad is None or not network.head.plain.grad.any()


def test_the_exported_file_gives_the_outputs_of_the_network_for_any_batch(name: Any) -> None:
    network, inputs = with_random_weights(name), windows(rows=7).numpy()
    content = onnx_export.to_onnx(network, inputs, {}, "finance")
    assert onnx_export.parity(network, content, inputs, 1e-4)["max_difference"] < 1e-4
    assert onnx_model.predict(content, inputs[:1]).shape == (1, 3)


def test_removing_channels_of_zeros_changes_no_output(name: Any) -> None:
    network = with_random_weights(name)
    keep = {}
    with torch.no_grad():
        for group_name, group in network.groups().items():
            keep[group_name] = torch.arange(0, group.size, 2)
            idle = torch.arange(1, group.size, 2)
            for key, dimension in group.producers:
                dict(network.named_parameters())[key].index_fill_(dimension, idle, 0.0)
            for key, dimension, _ in group.consumers:
                network.state_dict()[key].index_fill_(dimension, idle, 0.0)
    pruned = select_channels(network, keep)
    assert sum(weight.numel() for weight in pruned.parameters()) < sum(weight.numel() for weight in network.parameters())
    assert type(pruned)(**pruned.fields).fields == pruned.fields
    torch.testing.assert_close(pruned(windows()), network(windows()), rtol=1e-4, atol=1e-5)


def test_the_distillation_loss_of_equal_outputs_is_0() -> None:
    outputs = with_random_weights("tcn")(windows()).detach()
    assert window_layers.distillation_loss(outputs, outputs).item() == pytest.approx(0.0, abs=1e-6)
    assert window_layers.distillation_loss(outputs + 0.1, outputs).item() > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 10}, "at least 22 days"),
        ({"mean": [0.0], "std": [1.0]}, "pooled features"),
        ({"hidden": [8, 8]}, "takes 5 layers"),
    ],
)
def test_impossible_fields_are_refused_in_one_line(fields: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        registry.build_network("finance", "tcn", fields)


def test_news_change_the_outputs(name: Any) -> None:
    network = with_random_weights(name, news=True, fear=True)
    quiet = torch.cat([windows(fear=True), torch.zeros(32, WINDOW, 2)], -1)
    loud = quiet.clone()
    loud[:, -1, -2:] = torch.tensor([-0.8, 3.0])
    assert network(quiet).shape == (32, 3)
    assert not torch.allclose(network(quiet), network(loud))
