"""Structured pruning: remove whole channels, then fine-tune with the dense network as teacher."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from math import gcd
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext, GroupedNetwork
from tasks.core.errors import UserError
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.compression.channels.groups import Group, Member
    from tasks.compression.channels.tracing import Trace

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
    variants: Annotated[int, Field(ge=0, le=64)] = 0
    """Augmented variants of each train row, whose answers of the teacher are computed once; 0 asks it at every step."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from tasks.compression import teacher_training

        if hasattr(network, "onnx_bytes"):
            raise UserError("an ONNX file has no layers to prune; 'distill' it into a smaller network, or 'quantize' it")
        if isinstance(network, GroupedNetwork):
            groups = declared_groups(network)
            keep = self.kept_channels(importance(network, groups, context, self.importance), _entries(groups))
            pruned = select_channels(network, keep)
            context.notes["prune"] = _widths(groups, keep)
        else:
            pruned = self._narrowed(network, context)
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
            variants=self.variants,
        )

    def _narrowed(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        """The network without the least important channels, from groups that are traced through its graph."""
        import torch

        from tasks.compression.channels import narrowing, tracing

        examples = torch.from_numpy(context.inputs[:2])
        trace = tracing.trace(network, examples)
        groups = {group.name: group for group in trace.groups}
        if not groups:
            _refuse(network, trace)
        keep = self.kept_channels(importance(network, groups, context, self.importance), _entries(groups))
        fitting = {group.name for group in narrowing.fitting_groups(network, trace, keep, examples)}
        whole = [name for name in keep if name not in fitting]
        if not fitting:
            raise UserError(
                f"{type(network).__name__} fails once a layer is narrower, such as {whole[0]!r}: its code holds a size; "
                "read sizes from tensors' shapes, or leave 'prune' out of its recipes"
            )
        keep = {name: channels for name, channels in keep.items() if name in fitting}
        context.notes["prune"] = _widths(groups, keep) | {"whole": whole, "not_traced": trace.obstacles}
        for kind, names in (("its code holds their size", whole), ("no rule for", trace.obstacles)):
            if names:
                context.event_log.log(f"left whole, {kind}: {', '.join(names)}")
        return narrowing.narrow(network, trace, keep)

    def kept_channels(self, importances: Mapping[str, Tensor], entries: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """The positions of the channels that each group keeps, in order, from the importance (size,) of each group.

        `entries` says how many entries of a tensor one channel of a group spans, such as one for each head; 1 by default.
        """
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
            each = (entries or {}).get(name, 1)
            count = self._round_width(max(counts[name], self.keep_at_least * len(values)), len(values), each)
            keep[name] = values.argsort(descending=True, stable=True)[:count].sort().values
        return keep

    def _round_width(self, count: float, size: int, entries: int = 1) -> int:
        multiple_of = self.multiple_of // gcd(self.multiple_of, entries)
        return min(size, max(multiple_of, round(count / multiple_of) * multiple_of))


def declared_groups(network: GroupedNetwork) -> dict[str, Group]:
    """The groups that a network declares itself, by name."""
    from tasks.compression.channels.groups import Group

    return {name: Group.declared(name, group) for name, group in network.groups().items()}


def importance(
    network: Any, groups: Mapping[str, Group], context: CompressionContext, kind: Literal["taylor", "norm"]
) -> dict[str, Tensor]:
    """The importance of each channel, (size,) per group, larger is more important; in a ranked group the reversed rank."""
    import torch

    ranked = {name: torch.arange(group.size, 0, -1).float() for name, group in groups.items() if group.ranked}
    others = {name: group for name, group in groups.items() if not group.ranked}
    if kind == "norm":
        state = network.state_dict()
        return ranked | {name: _norm_importance(state, group) for name, group in others.items()}
    return ranked | (_taylor_importance(network, others, context) if others else {})


def select_channels(network: Any, keep: Mapping[str, Tensor]) -> nn.Module:
    """A network of the same class with only the channels in `keep` (positions in order, per group), in evaluation mode."""
    import torch

    from tasks.compression.channels.groups import kept_entries

    declared, fields, state = network.groups(), dict(network.fields), dict(network.state_dict())
    for name, kept in keep.items():
        fields = declared[name].resize(fields, len(kept))
    for key, dimensions in kept_entries(declared_groups(network), keep).items():
        for dimension, mask in dimensions.items():
            state[key] = state[key].index_select(dimension, torch.from_numpy(mask.nonzero()[0]))
    pruned: nn.Module = type(network)(**fields)
    pruned.load_state_dict({key: tensor.clone() for key, tensor in state.items()})
    return pruned.eval()


def _entries(groups: Mapping[str, Group]) -> dict[str, int]:
    return {name: group.entries for name, group in groups.items()}


def _widths(groups: Mapping[str, Group], keep: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"channels": {name: [groups[name].size, len(kept)] for name, kept in keep.items()}}


def _refuse(network: nn.Module, trace: Trace) -> None:
    """Raise the `UserError` of a network without a channel that can be removed."""
    where = f"; what it does in {trace.obstacles[0]} cannot be followed" if trace.obstacles else ""
    raise UserError(f"{type(network).__name__} has no channels to prune{where}; leave 'prune' out of its recipes")


def _norm_importance(state: Mapping[str, Tensor], group: Group) -> Tensor:
    """The norm of the weights that produce each channel times the norm of those that read it, (size,)."""
    import torch

    def norm(members: list[Member]) -> Tensor:
        return torch.stack([member.per_channel(state[member.key].square(), group.size) for member in members]).sum(0).sqrt()

    produced, reading = norm([member for member in group.members if member.produces]), _reading(group)
    return produced * norm(reading) if reading else produced


def _taylor_importance(network: Any, groups: Mapping[str, Group], context: CompressionContext) -> dict[str, Tensor]:
    """The sum over batches of the squared sum of weight times gradient, over the tensors that read each channel, (size,)."""
    import numpy as np
    import torch

    sampled = np.random.default_rng(context.case.training.seed).permutation(len(context.inputs))[:PROBE_ROWS]
    network = deepcopy(network).requires_grad_().eval()
    weights = dict(network.named_parameters(remove_duplicate=False))
    names = sorted({member.key for group in groups.values() for member in _measured(group)})
    importances = {name: torch.zeros(group.size) for name, group in groups.items()}
    with torch.enable_grad():
        for rows in np.array_split(sampled, -(-len(sampled) // PROBE_BATCH)):
            outputs = network(torch.from_numpy(context.inputs[rows]))
            loss = context.problem.loss(outputs, torch.from_numpy(context.targets[rows]), context.case.training)
            derivatives = torch.autograd.grad(loss, [weights[name] for name in names], allow_unused=True, materialize_grads=True)
            gradients = dict(zip(names, derivatives, strict=True))
            for name, group in groups.items():
                changes = [
                    member.per_channel(weights[member.key].detach() * gradients[member.key], group.size)
                    for member in _measured(group)
                ]
                importances[name] += torch.stack(changes).sum(0).square()
    return importances


def _measured(group: Group) -> list[Member]:
    return _reading(group) or [member for member in group.members if member.produces]


def _reading(group: Group) -> list[Member]:
    return [member for member in group.members if member.reads]
