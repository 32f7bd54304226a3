"""A copy of a network with fewer channels, checked by running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.compression.channels.groups import Group, kept_entries
from tasks.core.networks import resized_network

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.compression.channels.tracing import Trace


def narrow(network: nn.Module, trace: Trace, keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy with only the channels in `keep` (positions in order, per group), in evaluation mode."""
    import torch

    groups = {group.name: group for group in trace.groups}
    tensors = dict(network.state_dict(keep_vars=False))
    changed: dict[str, Tensor] = {}
    for key, dimensions in kept_entries(groups, keep).items():
        values = tensors[key]
        for dimension, mask in dimensions.items():
            values = values.index_select(dimension, torch.from_numpy(np.flatnonzero(mask)))
        changed[key] = values
    narrowed = deepcopy(network)
    resized_network.resize(narrowed, changed, _sizes_in_code(network, trace, keep))
    return narrowed.eval()


def runs(network: nn.Module, examples: Tensor, shape: Sequence[int]) -> bool:
    """Whether a network answers for example inputs with outputs of this shape; code may hold sizes that no longer fit."""
    import torch

    try:
        with torch.inference_mode():
            return tuple(network(examples).shape) == tuple(shape)
    except (RuntimeError, ValueError, AssertionError, IndexError):
        return False


def fitting_groups(network: nn.Module, trace: Trace, keep: Mapping[str, Tensor], examples: Tensor) -> list[Group]:
    """The groups that can be narrowed to `keep` together: all of them, unless the network's code holds a size of its own."""
    import torch

    with torch.inference_mode():
        shape = network.eval()(examples).shape

    def fit(groups: Sequence[Group]) -> bool:
        chosen = {group.name: keep[group.name] for group in groups}
        return runs(narrow(network, trace, chosen), examples, shape)

    if fit(trace.groups):
        return list(trace.groups)
    fitting: list[Group] = []
    for group in trace.groups:
        if fit([*fitting, group]):
            fitting.append(group)
    return fitting


def _sizes_in_code(network: nn.Module, trace: Trace, keep: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Whole numbers that a layer keeps of the size of a dimension, such as the width of a head, with the new size."""
    first, stays = 0, []
    for group in trace.groups:
        kept = np.ones(group.size, dtype=bool)
        if group.name in keep:
            kept = np.isin(np.arange(group.size), keep[group.name].numpy())
        stays.append(kept)
        first += group.size
    stay = np.concatenate([*stays, [True]]) if stays else np.array([True])
    layers = dict(network.named_modules())
    changes: dict[str, dict[str, Any]] = {}
    for name, owner in trace.sizes:
        old, new = len(owner), int(stay[owner].sum())
        own = layers.get(name)
        if own is None or old == new or type(own).__module__.startswith("torch.nn."):
            continue
        for attribute, value in vars(own).items():
            if type(value) is int and value == old and attribute not in changes.get(name, {}):
                changes.setdefault(name, {})[attribute] = new
    return changes
