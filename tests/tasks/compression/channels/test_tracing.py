"""The groups of any network are traced through its graph: what is removed together is what belongs together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks.compression.channels import narrowing, tracing
from tasks.compression.channels.groups import Group
from tasks.core import registry
from tasks.core.errors import UserError
from tests.support.known_networks import BiLstm, FusedAttention, InvertedResidual, ResNet18, VisionTransformer

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TOKENS = torch.tensor([[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 0, 0]])


def halves(trace: tracing.Trace) -> dict[str, Any]:
    return {group.name: torch.arange(0, group.size, 2) for group in trace.groups}


def silenced(network: nn.Module, trace: tracing.Trace, keep: dict[str, Any]) -> None:
    """Set to zero whatever reads a channel that is not kept."""
    state = network.state_dict()
    for group in trace.groups:
        gone = np.isin(np.arange(group.size), keep[group.name].numpy(), invert=True)
        for member in group.members:
            if member.reads:
                entries = np.flatnonzero((member.owner >= 0) & np.append(gone, False)[member.owner])
                state[member.key].index_fill_(member.dimension, torch.from_numpy(entries), 0.0)


def with_random_statistics(network: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for name, tensor in network.state_dict().items():
        if "running_var" in name:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif "running_mean" in name:
            tensor.copy_(torch.randn_like(tensor) * 0.1)
    return network.eval()


class Mixed(nn.Module):
    """Concatenation, grouped and depthwise convolutions, group normalisation, a gate of two halves, and a shared layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(3, 8, 3, 2, 1)
        self.grouped, self.norm = nn.Conv2d(24, 32, 3, 1, 1, groups=4), nn.BatchNorm2d(32)
        self.deep, self.up = nn.Conv2d(32, 64, 3, 1, 1, groups=32), nn.ConvTranspose2d(64, 16, 2, 2)
        self.gate, self.twice, self.act = nn.Conv2d(16, 24, 1), nn.Conv2d(12, 12, 1), nn.PReLU(12)
        self.head = nn.Linear(12 * 4, 5)

    def forward(self, x: Any) -> Any:
        x = torch.cat([self.stem(x).relu(), self.side(x).relu()], dim=1)
        x = functional.hardswish(self.norm(self.grouped(x)))
        one, other = self.gate(self.up(self.deep(x).relu())).chunk(2, dim=1)
        x = self.act(self.twice(self.twice(one * other.sigmoid())))
        return self.head(functional.adaptive_avg_pool2d(x, 2).flatten(1))


CASES: dict[str, tuple[Any, Any]] = {
    "residual": (lambda: ResNet18(5, width=8), IMAGES),
    "squeeze and excitation": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3),
            InvertedResidual(16, 3, 48, 16, True, True, 1),
            InvertedResidual(16, 5, 32, 24, True, False, 2),
            nn.Flatten(),
            nn.LazyLinear(5),
        ),
        IMAGES,
    ),
    "mixed": (Mixed, IMAGES),
    "recurrent": (lambda: BiLstm(3, 20, width=8, hidden=12), TOKENS),
    "gated recurrent": (lambda: BiLstm(3, 20, width=8, hidden=12, cell="GRU"), TOKENS),
}


@pytest.mark.parametrize("name", CASES)
def test_removing_channels_that_nothing_reads_changes_no_output(name: str) -> None:
    make, inputs = CASES[name]
    torch.manual_seed(0)
    network = make()
    network(inputs)
    network = with_random_statistics(network)
    trace = tracing.trace(network, inputs)
    assert trace.obstacles == []
    keep = halves(trace)
    silenced(network, trace, keep)
    assert narrowing.fitting_groups(network, trace, keep, inputs) == trace.groups
    small = narrowing.narrow(network, trace, keep)
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), network(inputs), atol=1e-5, rtol=1e-4)
    before, after = (sum(tensor.numel() for tensor in each.parameters()) for each in (network, small))
    assert after < 0.6 * before


def test_attention_keeps_its_heads_and_narrows_each_of_them() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(5, 32, width=32, heads=4).eval()
    trace = tracing.trace(network, IMAGES)
    names = [group.name for group in trace.groups]
    assert names == [
        "conv_proj",
        *(f"layers.{block}.{name}" for block in (0, 1) for name in ("self_attention.in_proj_weight", "mlp.0")),
    ]
    heads = trace.groups[1]
    assert (heads.size, heads.entries) == (8, 4)
    small: Any = narrowing.narrow(network, trace, halves(trace))
    attention = small.layers[0].self_attention
    assert (attention.embed_dim, attention.head_dim, attention.num_heads) == (16, 4, 4)
    assert small.hidden_dim == 16
    assert small(IMAGES).shape == (2, 5)


def test_numbers_that_code_holds_for_the_width_of_a_head_follow_it() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.attention, self.head = nn.Linear(3, 32), FusedAttention(32, 4), nn.Linear(32, 5)

        def forward(self, x: Any) -> Any:
            x = self.enter(x.flatten(2).transpose(1, 2))
            return self.head((x + self.attention(x)).mean(1))

    network = Block().eval()
    trace = tracing.trace(network, IMAGES)
    small: Any = narrowing.narrow(network, trace, halves(trace))
    assert small.attention.head_dim == 4
    assert small.attention.qkv.weight.shape == (48, 16)
    assert small.resized["attention"] == {"head_dim": 4}
    assert small(IMAGES).shape == (2, 5)


def test_a_width_that_code_spells_out_stays_whole_and_the_rest_is_narrowed() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(3, 16), nn.Linear(16, 12), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            x = self.first(x.mean((2, 3))).relu()
            return self.head(self.second(x.reshape(-1, 16)).relu())

    network = Stubborn().eval()
    trace = tracing.trace(network, IMAGES)
    keep = halves(trace)
    assert [group.name for group in narrowing.fitting_groups(network, trace, keep, IMAGES)] == ["second"]


def test_an_operator_without_a_rule_is_named_with_its_layer_and_only_its_own_channels_stay() -> None:
    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.svdvals(x)

    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 24), nn.ReLU(), nn.Linear(24, 16), nn.Unflatten(1, (4, 4)), Odd())
    trace = tracing.trace(network.eval(), IMAGES)
    assert [group.name for group in trace.groups] == ["1"]
    assert len(trace.obstacles) == 1
    assert trace.obstacles[0].endswith("in '5'")


def test_a_network_that_cannot_be_traced_is_refused_with_the_name_of_the_layer() -> None:
    class Moody(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if float(x.sum()) > 0 else -x

    network = nn.Sequential()
    network.add_module("front", nn.Conv2d(3, 8, 3))
    network.add_module("moody", Moody())
    with pytest.raises(UserError) as refusal:
        tracing.trace(network.eval(), IMAGES)
    assert "the graph of Sequential cannot be traced, layer 'moody'" in str(refusal.value)
    assert "\n" not in str(refusal.value)


OWN = {
    ("vision", "cnn"): ({"classes": 3, "side": 16, "widths": [8, 12, 16]}, torch.zeros(2, 1, 16, 16, dtype=torch.uint8)),
    ("nlp", "text_lstm"): ({"tokens": 20, "classes": 3, "width": 8, "hidden": 12}, TOKENS),
    ("nlp", "text_tagger"): ({"tokens": 20, "classes": 3, "width": 8, "hidden": 12}, TOKENS[:, :, None].expand(2, 6, 2)),
    ("nlp", "text_writer"): ({"tokens": 20, "width": 8, "hidden": 12}, TOKENS),
    ("nlp", "text_transformer"): ({"tokens": 20, "classes": 3, "width": 16, "length": 6}, TOKENS),
    ("credit", "tabular_mlp"): ({"numbers": 3, "knots": 4, "sizes": [3], "outputs": 2}, torch.ones(2, 4)),
    ("credit", "ft_transformer"): ({"numbers": 3, "knots": 4, "sizes": [3]}, torch.ones(2, 4)),
    ("finance", "har_mlp"): ({}, torch.ones(2, 66, 5)),
    ("finance", "series_lstm"): ({}, torch.ones(2, 66, 5)),
    ("finance", "tcn"): ({}, torch.ones(2, 66, 5)),
}
"""Own networks that declare their groups. The tokens of `bag` and the heads of `series_transformer` cannot be traced."""


@pytest.mark.parametrize(("use_case", "name"), OWN)
def test_tracing_finds_the_very_groups_that_own_networks_declare(use_case: str, name: str) -> None:
    fields, inputs = OWN[use_case, name]
    network = registry.build_network(use_case, name, fields).eval()
    traced = [places(group) for group in tracing.trace(network, inputs).groups]
    for group_name, group in network.groups().items():
        assert places(Group.declared(group_name, group)) in traced, group_name


def places(group: Group) -> set[tuple[str, int, tuple[int, ...]]]:
    return {(member.key, member.dimension, tuple(member.owner.tolist())) for member in group.members}
