"""Structured pruning: remove whole channels, then fine-tune with the dense network as teacher."""

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
"""Train rows on which Taylor importance is computed."""
PROBE_BATCH = 16


@settings
class Prune:
    """Structured pruning: removes the least important channels of every group, so that the network has smaller tensors.

    `taylor` importance is the first-order estimate of the change of the loss without the channel (P. Molchanov et al. 2019,
    arXiv 1906.10771). `norm` importance is the norm of the weights that produce the channel times that of the weights that
    read it. Both use the reading weights, because a normalisation divides out the size of the producing ones.
    """

    changes: ClassVar[Literal["network"]] = "network"

    ratio: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the channels that are removed."""
    scope: Literal["group", "network"] = "group"
    """Remove `ratio` of every group (`group`), or the least important channels of the whole network (`network`)."""
    importance: Literal["taylor", "norm"] = "taylor"
    keep_at_least: Share = 0.25
    """Minimum share of channels that every group keeps, in both scopes."""
    multiple_of: Annotated[int, Field(ge=1, le=256)] = 8
    """Widths are rounded to a multiple of this, because processors compute channels in blocks."""
    effort: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Epochs of fine-tuning, as a multiple of the use case's; 0 for none."""
    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Learning rate, as a multiple of the use case's."""
    teacher_share: Share = 0.7
    """Weight of the distillation loss from the dense network; the rest is the weight of the loss against the targets."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Softmax temperature of the distillation loss; higher is softer."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from tasks.compression import teacher_training

        if not isinstance(network, Network):
            raise UserError(f"{type(network).__name__} has no channel groups to prune; leave 'prune' out of its recipes")
        importances = importance(network, context, self.importance)
        keep = self.kept_channels(importances)
        pruned = select_channels(network, keep)
        before = {name: len(values) for name, values in importances.items()}
        context.notes["prune"] = {"channels": {name: [before[name], len(keep[name])] for name in keep}}
        if self.effort == 0:
            return pruned
        return teacher_training.fit_with_teacher(
            pruned,
            network,
            context,
            effort=self.effort,
            learning_rate_share=self.learning_rate_share,
            teacher_share=self.teacher_share,
            temperature=self.temperature,
            checkpoint="prune",
        )

    def kept_channels(self, importances: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The positions of the channels that each group keeps, in order, from the importance (size,) of each group."""
        import torch

        if self.scope == "group":
            counts = {name: len(values) * (1 - self.ratio) for name, values in importances.items()}
        else:
            relative = {name: values / values.mean().clamp_min(1e-12) for name, values in importances.items()}
            every = torch.cat(list(relative.values())).sort(descending=True).values
            threshold = every[max(0, round(len(every) * (1 - self.ratio)) - 1)]
            counts = {name: float((values >= threshold).sum()) for name, values in relative.items()}
        keep = {}
        for name, values in importances.items():
            count = self._round_width(max(counts[name], self.keep_at_least * len(values)), len(values))
            keep[name] = values.argsort(descending=True, stable=True)[:count].sort().values
        return keep

    def _round_width(self, count: float, size: int) -> int:
        return min(size, max(self.multiple_of, round(count / self.multiple_of) * self.multiple_of))


def importance(network: Any, context: CompressionContext, kind: Literal["taylor", "norm"]) -> dict[str, Tensor]:
    """The importance of each channel, (size,) per group, larger is more important; in a ranked group the reversed rank."""
    import torch

    groups: dict[str, ChannelGroup] = network.groups()
    ranked = {name: torch.arange(group.size, 0, -1).float() for name, group in groups.items() if group.ranked}
    others = {name: group for name, group in groups.items() if not group.ranked}
    if kind == "norm":
        state = network.state_dict()
        return ranked | {name: _norm_importance(state, group) for name, group in others.items()}
    return ranked | (_taylor_importance(network, others, context) if others else {})


def select_channels(network: Any, keep: Mapping[str, Tensor]) -> nn.Module:
    """A network of the same class with only the channels in `keep` (positions in order, per group), in evaluation mode."""
    fields, state = dict(network.fields), dict(network.state_dict())
    for name, group in network.groups().items():
        kept = keep[name]
        fields = group.resize(fields, len(kept))
        for key, dimension in group.producers:
            state[key] = state[key].index_select(dimension, kept)
        for key, dimension, repeat in group.consumers:
            state[key] = state[key].index_select(dimension, entry_positions(kept, repeat))
    pruned: nn.Module = type(network)(**fields)
    pruned.load_state_dict({key: tensor.clone() for key, tensor in state.items()})
    return pruned.eval()


def entry_positions(channels: Tensor, repeat: int) -> Tensor:
    """The positions of the entries that these channels span, `repeat` neighbouring ones each."""
    import torch

    return (channels[:, None] * repeat + torch.arange(repeat)).flatten()


def _norm_importance(state: Mapping[str, Tensor], group: ChannelGroup) -> Tensor:
    """The norm of the weights that produce each channel times the norm of those that read it, (size,)."""
    import torch

    def norm(places: list[tuple[str, int]]) -> Tensor:
        squares = [_per_channel(state[key].square(), dimension, group.size) for key, dimension in places]
        return torch.stack(squares).sum(0).sqrt()

    produced = norm(list(group.producers))
    return produced * norm(_reading_tensors(group)) if _reading_tensors(group) else produced


def _taylor_importance(network: Any, groups: Mapping[str, ChannelGroup], context: CompressionContext) -> dict[str, Tensor]:
    """The sum over batches of the squared sum of weight times gradient, over the tensors that read each channel, (size,)."""
    import numpy as np
    import torch

    sampled = np.random.default_rng(context.case.training.seed).permutation(len(context.inputs))[:PROBE_ROWS]
    weights = dict(network.named_parameters())
    importances = {name: torch.zeros(group.size) for name, group in groups.items()}
    network.eval()
    with torch.enable_grad():
        for rows in np.array_split(sampled, -(-len(sampled) // PROBE_BATCH)):
            outputs = network(torch.from_numpy(context.inputs[rows]))
            loss = context.problem.loss(outputs, torch.from_numpy(context.targets[rows]), context.case.training)
            names = [name for name, weight in weights.items() if weight.requires_grad]
            gradients = dict(zip(names, torch.autograd.grad(loss, [weights[name] for name in names]), strict=True))
            for name, group in groups.items():
                changes = [
                    _per_channel(weights[key].detach() * gradients[key], dimension, group.size)
                    for key, dimension in _reading_tensors(group) or group.producers
                ]
                importances[name] += torch.stack(changes).sum(0).square()
    return importances


def _reading_tensors(group: ChannelGroup) -> list[tuple[str, int]]:
    """The consumers that read the channels: those that carry them in a dimension other than the first."""
    return [(key, dimension) for key, dimension, _ in group.consumers if dimension > 0]


def _per_channel(values: Tensor, dimension: int, size: int) -> Tensor:
    """Sums of `values` per channel, (size,); a channel may span neighbouring entries of `dimension`."""
    return values.movedim(dimension, 0).reshape(size, -1).sum(1)
