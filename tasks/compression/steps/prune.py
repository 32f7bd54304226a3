"""Take whole channels out of a network, then let the dense one teach what is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import ChannelGroup, CompressionContext, Network
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import Tensor, nn

PROBE_ROWS = 512
"""Train rows from which the importance of channels is read."""
PROBE_BATCH = 16


@settings
class Prune:
    """Structured pruning: the least important channels of every group go, and the network becomes truly narrower.

    Importance is read where a channel is used: `taylor` is the loss that would change if the channel fell silent, to
    first order (P. Molchanov et al. 2019, arXiv 1906.10771), `norm` the size of the weights that make and use it.
    Behind a normalisation the weights that make a channel alone say nothing: it divides their size out.
    """

    changes: ClassVar[Literal["network"]] = "network"

    ratio: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the channels that go."""
    scope: Literal["group", "network"] = "group"
    """Take `ratio` out of every group alike, or the least important of the whole network, wherever they stand."""
    importance: Literal["taylor", "norm"] = "taylor"
    keep_at_least: Share = 0.25
    """Share of its channels that every group keeps, whatever the scope says."""
    multiple_of: Annotated[int, Field(ge=1, le=256)] = 8
    """Widths are rounded to a multiple of this, because processors compute channels in blocks."""
    effort: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Epochs of fine-tuning, as a multiple of the use case's; 0 for none."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Share of the loss that asks for the dense network's answers; the rest asks for the truth."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """How much the answers are softened before they are compared."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from tasks.compression import teacher_training

        if not isinstance(network, Network):
            raise UserError(f"{type(network).__name__} has no channel groups to prune; leave 'prune' out of its recipes")
        worth = importance(network, context, self.importance)
        keep = self.chosen(worth)
        narrow = narrowed(network, keep)
        before = {name: len(values) for name, values in worth.items()}
        context.notes["prune"] = {"channels": {name: [before[name], len(keep[name])] for name in keep}}
        if self.effort == 0:
            return narrow
        return teacher_training.taught(
            narrow,
            network,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint="prune",
        )

    def chosen(self, worth: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The channels each group keeps, in order, from what each is worth."""
        import torch

        if self.scope == "group":
            counts = {name: len(values) * (1 - self.ratio) for name, values in worth.items()}
        else:
            level = {name: values / values.mean().clamp_min(1e-12) for name, values in worth.items()}
            every = torch.cat(list(level.values())).sort(descending=True).values
            bar = every[max(0, round(len(every) * (1 - self.ratio)) - 1)]
            counts = {name: float((values >= bar).sum()) for name, values in level.items()}
        keep = {}
        for name, values in worth.items():
            count = self._rounded(max(counts[name], self.keep_at_least * len(values)), len(values))
            keep[name] = values.argsort(descending=True, stable=True)[:count].sort().values
        return keep

    def _rounded(self, count: float, size: int) -> int:
        return min(size, max(self.multiple_of, round(count / self.multiple_of) * self.multiple_of))


def importance(network: Any, context: CompressionContext, kind: Literal["taylor", "norm"]) -> dict[str, Tensor]:
    """What each channel of each group is worth, (size,) per group, larger is more; in a ranked group, its place."""
    import torch

    groups: dict[str, ChannelGroup] = network.groups()
    ranked = {name: torch.arange(group.size, 0, -1).float() for name, group in groups.items() if group.ranked}
    others = {name: group for name, group in groups.items() if not group.ranked}
    if kind == "norm":
        state = network.state_dict()
        return ranked | {name: _norm(state, group) for name, group in others.items()}
    return ranked | (_taylor(network, others, context) if others else {})


def narrowed(network: Any, keep: Mapping[str, Tensor]) -> nn.Module:
    """A network of the same class that has only the channels in `keep` (positions in order, per group)."""
    fields, state = dict(network.fields), dict(network.state_dict())
    for name, group in network.groups().items():
        kept = keep[name]
        fields = group.resize(fields, len(kept))
        for key, dimension in group.producers:
            state[key] = state[key].index_select(dimension, kept)
        for key, dimension, repeat in group.consumers:
            state[key] = state[key].index_select(dimension, spread(kept, repeat))
    narrow: nn.Module = type(network)(**fields)
    narrow.load_state_dict({key: tensor.clone() for key, tensor in state.items()})
    return narrow.eval()


def spread(channels: Tensor, repeat: int) -> Tensor:
    """Positions of the entries that these channels span, `repeat` neighbours each."""
    import torch

    return (channels[:, None] * repeat + torch.arange(repeat)).flatten()


def _norm(state: Mapping[str, Tensor], group: ChannelGroup) -> Tensor:
    """The length of the weights that make each channel times the length of those that use it."""
    import torch

    def length(places: list[tuple[str, int]]) -> Tensor:
        squares = [_per_channel(state[key].square(), dimension, group.size) for key, dimension in places]
        return torch.stack(squares).sum(0).sqrt()

    made = length(list(group.producers))
    return made * length(_readers(group)) if _readers(group) else made


def _taylor(network: Any, groups: Mapping[str, ChannelGroup], context: CompressionContext) -> dict[str, Tensor]:
    """Mean over batches of the squared sum of weight times gradient, where each channel is used."""
    import numpy as np
    import torch

    chosen = np.random.default_rng(context.case.training.seed).permutation(len(context.inputs))[:PROBE_ROWS]
    weights = dict(network.named_parameters())
    worth = {name: torch.zeros(group.size) for name, group in groups.items()}
    network.eval()
    with torch.enable_grad():
        for rows in np.array_split(chosen, -(-len(chosen) // PROBE_BATCH)):
            outputs = network(torch.from_numpy(context.inputs[rows]))
            loss = context.problem.loss(outputs, torch.from_numpy(context.targets[rows]), context.case.training)
            names = [name for name, weight in weights.items() if weight.requires_grad]
            slopes = dict(zip(names, torch.autograd.grad(loss, [weights[name] for name in names]), strict=True))
            for name, group in groups.items():
                moved = [
                    _per_channel(weights[key].detach() * slopes[key], dimension, group.size)
                    for key, dimension in _readers(group) or group.producers
                ]
                worth[name] += torch.stack(moved).sum(0).square()
    return worth


def _readers(group: ChannelGroup) -> list[tuple[str, int]]:
    """The tensors that read the channels: those that carry them anywhere but along their first dimension."""
    return [(key, dimension) for key, dimension, _ in group.consumers if dimension > 0]


def _per_channel(values: Tensor, dimension: int, size: int) -> Tensor:
    """Sums of `values` per channel, (size,); a channel may span neighbouring entries of `dimension`."""
    return values.movedim(dimension, 0).reshape(size, -1).sum(1)
