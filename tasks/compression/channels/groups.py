"""Groups of channels that are removed together, whether a network declares them or they were traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.core.compression import ChannelGroup

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Member:
    """One dimension of a tensor that holds channels of a group."""

    key: str
    """The tensor's name in the network's state."""
    dimension: int
    owner: NDArray[np.int64]
    """The channel of each entry along the dimension, -1 for entries of no channel of this group."""
    produces: bool = False
    """Whether the tensor's slices produce the channels, as the rows of a matrix do."""
    reads: bool = False
    """Whether they read the channels, as its columns do."""

    def per_channel(self, values: Tensor, size: int) -> Tensor:
        """Sums of `values` per channel, (size,)."""
        import torch

        slices, owner = values.movedim(self.dimension, 0), self.owner
        if len(owner) % size == 0 and (owner == np.repeat(np.arange(size), len(owner) // size)).all():
            return slices.reshape(size, -1).sum(1)
        places = torch.from_numpy(np.flatnonzero(owner >= 0))
        sums = slices.reshape(len(owner), -1).sum(1)
        return torch.zeros(size, dtype=values.dtype).index_add(0, torch.from_numpy(owner)[places], sums[places])


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are removed together from all members."""

    name: str
    size: int
    members: tuple[Member, ...]
    ranked: bool = False
    """Whether channels are in order of importance, so that only the last can be removed."""

    @property
    def entries(self) -> int:
        """Entries of a channel in the dimension that holds fewest, such as one for each head."""
        held = [(member.owner >= 0).sum() for member in self.members if member.produces or member.reads]
        return max(1, int(min(held)) // self.size)

    @classmethod
    def declared(cls, name: str, group: ChannelGroup) -> Group:
        """A group that the network declares itself."""
        channels = np.arange(group.size)
        producers = [Member(key, dimension, channels, produces=True) for key, dimension in group.producers]
        consumers = [
            Member(key, dimension, np.repeat(channels, repeat), reads=dimension > 0) for key, dimension, repeat in group.consumers
        ]
        return cls(name, group.size, (*producers, *consumers), group.ranked)


def kept_entries(groups: Mapping[str, Group], keep: Mapping[str, Tensor]) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """Which entries of each dimension stay, by tensor and dimension, when groups keep these channels."""
    kept: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for name, channels in keep.items():
        stays = np.zeros(groups[name].size + 1, dtype=bool)
        stays[channels.numpy()] = True
        stays[-1] = True  # entries of no channel of this group
        for member in groups[name].members:
            dimensions = kept.setdefault(member.key, {})
            mask = dimensions.setdefault(member.dimension, np.ones(len(member.owner), dtype=bool))
            mask &= stays[member.owner]
    return kept
