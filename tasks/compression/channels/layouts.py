"""Rules for operators that move, cut, join or reduce dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.compression.channels.joint_labels import Joint, Labelled, Shape, argument
from tasks.compression.channels.labels import Ids, fixed


def concatenate(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    parts = [part for part in args[0] if len(part.dims) == len(shape)]
    dimension = argument(args, 1, kwargs.get("dim", 0)) % len(shape)
    result = []
    for place in range(len(shape)):
        ids = [part.dims[place] for part in parts]
        for other in ids[1:] if place != dimension else []:
            joint.labels.join(ids[0], other)
        result.append(np.concatenate(ids) if place == dimension else ids[0])
    return result


def stack(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    dimension = argument(args, 1, kwargs.get("dim", 0)) % len(shape)
    kept = joint.broadcast(args[0], [size for place, size in enumerate(shape) if place != dimension])
    return [*kept[:dimension], fixed(shape[dimension]), *kept[dimension:]]


def split(joint: Joint, args: list[Any], kwargs: dict[str, Any], shapes: Any) -> list[Labelled]:
    """Equal parts keep the same channels, so that code which cuts a dimension into parts still finds its own in each."""
    inputs = args[0]
    dimension = argument(args, 2, kwargs.get("dim", 0)) % len(inputs.dims)
    sizes = [shape[dimension] for shape in shapes]
    if len(set(sizes)) == 1:
        joint.labels.tie(inputs.dims[dimension], len(sizes))
    parts = np.split(inputs.dims[dimension], np.cumsum(sizes)[:-1])
    return [Labelled([*inputs.dims[:dimension], part, *inputs.dims[dimension + 1 :]], inputs.computed) for part in parts]


def unbind(joint: Joint, args: list[Any], kwargs: dict[str, Any], shapes: Any) -> list[Labelled]:
    dimension = argument(args, 1, kwargs.get("dim", 0)) % len(args[0].dims)
    joint.labels.fix(args[0].dims[dimension])
    rest = [ids for place, ids in enumerate(args[0].dims) if place != dimension]
    return [Labelled(rest, args[0].computed) for _ in shapes]


def select(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    dimension = argument(args, 1, 0) % len(args[0].dims)
    joint.labels.fix(args[0].dims[dimension])
    return [ids for place, ids in enumerate(args[0].dims) if place != dimension]


def resized(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """Slices, padding and repetition: a dimension that changes its size cannot be pruned."""
    added = len(shape) - len(args[0].dims)
    result = [fixed(size) for size in shape[:added]]
    for ids, size in zip(args[0].dims, shape[added:], strict=True):
        if len(ids) != size and len(ids) > 1:
            joint.labels.fix(ids)
        result.append(ids if len(ids) == size else fixed(size))
    return result


def reshape(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    return joint.labels.reshape(args[0].dims, shape)


def permute(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    return [args[0].dims[place] for place in args[1]]


def transpose(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    dims = list(args[0].dims)
    if len(dims) > 1:
        one, other = argument(args, 1, -2), argument(args, 2, -1)
        dims[one], dims[other] = dims[other], dims[one]
    return dims


def squeeze(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """Squeeze and unsqueeze: only dimensions of size 1 come and go."""
    kept = iter([ids for ids in args[0].dims if len(ids) > 1])
    return [next(kept) if size > 1 else fixed(1) for size in shape]


def reduce(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    dims, which = args[0].dims, argument(args, 1, kwargs.get("dim"))
    every = range(len(dims)) if which is None or which == [] else [which] if isinstance(which, int) else which
    gone = {place % len(dims) for place in every}
    kept = [fixed(1) if place in gone else ids for place, ids in enumerate(dims)]
    return kept if len(shape) == len(dims) else [ids for place, ids in enumerate(dims) if place not in gone]


def reduce_norm(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """As `reduce`, with the order of the norm before the dimensions."""
    return reduce(joint, [args[0], *args[2:]], kwargs, shape)


def pool(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """Pooling and resampling over the dimensions after the channels."""
    for ids in args[0].dims[2:]:
        joint.labels.fix(ids)
    return [*args[0].dims[:2], *(fixed(size) for size in shape[2:])]


def gather(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    inputs, dimension, index = args[:3]
    result = []
    for place, (ids, taken) in enumerate(zip(inputs.dims, index.dims, strict=True)):
        if place == dimension % len(inputs.dims) or len(ids) != len(taken):
            joint.labels.fix(ids)
            result.append(taken)
        else:
            result.append(ids)
    return result


def lookup(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """Indices along one dimension replace it by those of the index."""
    inputs = args[0]
    if isinstance(args[1], int):
        dimension, index = args[1], args[2]
    else:
        indexed = [place for place, value in enumerate(args[1]) if isinstance(value, Labelled)]
        if len(indexed) != 1:
            raise NotImplementedError
        dimension, index = indexed[0], args[1][indexed[0]]
    joint.labels.fix(inputs.dims[dimension])
    return [*inputs.dims[:dimension], *index.dims, *inputs.dims[dimension + 1 :]]


def created(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    """A new tensor of any size: its code may follow the sizes of others."""
    return [joint.labels.new(size) if size > 1 else fixed(1) for size in shape]
