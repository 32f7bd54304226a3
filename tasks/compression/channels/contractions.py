"""Rules for operators with weights: which channels they read, and which they produce."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.compression.channels.joint_labels import Joint, Labelled, Shape, argument, tensors
from tasks.compression.channels.labels import Ids, fixed


def linear(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    inputs, weight, bias = args[0], args[1], argument(args, 2)
    joint.contract(weight, 1, inputs.dims[-1])
    produced = joint.produce(weight, 0)
    if bias is not None:
        joint.labels.join(produced, bias.dims[0])
    return [*inputs.dims[:-1], produced]


def matmul(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    left, right = args[-2], args[-1]
    inner = -1 if len(right.dims) == 1 else -2
    joint.contract(left, -1, right.dims[inner])
    joint.contract(right, inner, left.dims[-1])
    rows = [joint.produce(left, -2)] if len(left.dims) > 1 else []
    columns = [joint.produce(right, -1)] if len(right.dims) > 1 else []
    batch = [Labelled(each.dims[:-2], each.computed) for each in (left, right)]
    result = [*joint.broadcast(batch, shape[: len(shape) - len(rows) - len(columns)]), *rows, *columns]
    return joint.broadcast([Labelled(result), *tensors(args[:-2])], shape)  # the term that addmm adds


def convolution(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    spatial = len(shape) - 2
    groups = argument(args, 8, 1) if len(args) > 7 else argument(args, 6, 1)
    return _convolve(joint, args, groups, [fixed(size) for size in shape[-spatial:]], transposed=len(args) > 7 and args[6])


def transposed_convolution(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    return _convolve(joint, args, argument(args, 6, 1), [fixed(size) for size in shape[2:]], transposed=True)


def _convolve(joint: Joint, args: list[Any], groups: int, spatial: list[Ids], transposed: bool) -> list[Ids]:
    inputs, weight, bias = args[0], args[1], argument(args, 2)
    for ids in weight.dims[2:]:
        joint.labels.fix(ids)
    produced = joint.produce(weight, 1 if transposed else 0)
    if groups == 1:
        joint.contract(weight, 0 if transposed else 1, inputs.dims[1])
    elif not transposed and len(weight.dims[1]) == 1:  # depthwise: a channel takes its group with it
        joint.labels.join(np.repeat(inputs.dims[1], len(produced) // groups), produced)
    else:  # equally many channels of each group
        if transposed:
            joint.contract(weight, 0, inputs.dims[1])
            joint.labels.tie(weight.dims[0], groups)
            produced = np.tile(produced, groups)
        else:
            joint.contract(weight, 1, joint.labels.tie(inputs.dims[1], groups))
            joint.labels.tie(produced, groups)
    if bias is not None:
        joint.labels.join(produced, bias.dims[0])
    return [inputs.dims[0], produced, *spatial]


def channel_norm(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    for each in tensors(args[1:]):
        joint.labels.join(args[0].dims[1], each.dims[0])
    return list(args[0].dims)


def prelu(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    return channel_norm(joint, args, kwargs, shape) if args[1].dims and len(args[1].dims[0]) > 1 else list(args[0].dims)


def group_norm(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    joint.labels.tie(args[0].dims[1], next(value for value in args[1:] if isinstance(value, int)))
    return channel_norm(joint, args, kwargs, shape)


def embedding(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    joint.labels.fix(args[0].dims[0])
    before = args[1].dims if len(shape) > len(args[1].dims) else [fixed(size) for size in shape[:-1]]
    return [*before, joint.produce(args[0], 1)]


def attention(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    query, key, value = args[:3]
    joint.labels.join(query.dims[-1], key.dims[-1])
    joint.labels.join(key.dims[-2], value.dims[-2])
    before = [Labelled(each.dims[:-2]) for each in (query, key, value)]
    return [*joint.broadcast(before, shape[:-2]), query.dims[-2], value.dims[-1]]


def recurrent(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Labelled]:
    """nn.LSTM, nn.GRU and nn.RNN: all layers and directions keep the same units, since they share one size."""
    inputs, states, weights, biased, layers = args[:5]
    directions = 2 if args[7] else 1
    each, labels = 4 if biased else 2, joint.labels
    if len(weights) != each * layers * directions:  # projections
        for weight in weights:
            for ids in weight.dims:
                labels.fix(ids)
        return []
    units = weights[1].dims[1]
    read = inputs.dims[-1]
    for layer in range(layers):
        for direction in range(directions):
            first = each * (layer * directions + direction)
            reading, recalling, *biases = weights[first : first + each]
            labels.join(units, recalling.dims[1])
            joint.contract(reading, 1, read)
            joint.contract(recalling, 1, units)
            for weight in (reading, recalling, *biases):
                labels.join(labels.tie(weight.dims[0], len(weight.dims[0]) // len(units)), units)
            joint.produce(reading, 0)
            joint.produce(recalling, 0)
        read = np.tile(units, directions)
    for state in tensors([states]):
        labels.join(state.dims[-1], units)
    after = [fixed(layers * directions), inputs.dims[0 if args[8] else 1], units]
    return [Labelled([*inputs.dims[:-1], read]), Labelled(after), Labelled(after)]


def einsum(joint: Joint, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> list[Ids]:
    sides = args[0].replace(" ", "").split("->")
    if len(sides) != 2 or "." in args[0]:
        raise NotImplementedError
    results: dict[str, Ids] = {}
    for letters, operand in zip(sides[0].split(","), args[1], strict=True):
        for place, letter in enumerate(letters):
            ids = results.setdefault(letter, operand.dims[place])
            joint.labels.join(ids, operand.dims[place])
            if not operand.computed:
                (joint.produced if letter in sides[1] else joint.read).update(operand.dims[place].tolist())
    return [results[letter] for letter in sides[1]]
