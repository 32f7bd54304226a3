"""The channel groups of any network: its exported graph is followed operator by operator, with a label for every index."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.compression.channels.groups import Group, Member
from tasks.compression.channels.joint_labels import Joint, Labelled, Shape, same, tensors
from tasks.compression.channels.labels import FIXED, Ids, fixed
from tasks.compression.channels.operators import PARTS, RULES
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    Key = tuple[str, int]
    """A tensor of the network's state, and one of its dimensions."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was found: groups in the order of the network's layers, sizes that code repeats, and what could not be followed."""

    groups: list[Group]
    sizes: list[tuple[str, Ids]]
    """Dimensions that a layer's own code sizes, as (name of the layer, channel number of each index or -1)."""
    obstacles: list[str]
    """Operators without a rule, as `operator in layer`."""


def trace(network: nn.Module, examples: Tensor) -> Trace:
    """The groups of a network, from its graph for example inputs (B, ...). Raises a `UserError` that names the layer."""
    program = _export(network, examples)
    interpreter = _Interpreter(program)
    for node in program.graph.nodes:
        interpreter.follow(node)
    return interpreter.result()


def _export(network: nn.Module, examples: Tensor) -> Any:
    """The network's graph of ATen operators; layers such as LSTM and attention stay whole."""
    import torch

    from tasks.compression.onnx_export import silence_exporter

    path: list[str] = []

    def leave(*_: Any) -> None:
        path.pop()

    hooks = []
    for name, layer in network.named_modules():
        hooks.append(layer.register_forward_pre_hook(lambda *_, name=name: path.append(name)))
        hooks.append(layer.register_forward_hook(leave))
    try:
        with silence_exporter(), torch.no_grad():
            return torch.export.export(network.eval(), (examples,), strict=False).run_decompositions({})
    except Exception as error:
        where = next((name for name in reversed(path) if name), "") or type(network).__name__
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the graph of {type(network).__name__} cannot be traced, layer {where!r}: {reason}; leave 'prune' out of its recipes"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()


class _Interpreter:
    """Follows a graph node by node and keeps the labels of every tensor."""

    def __init__(self, program: Any) -> None:
        signature = program.graph_signature
        self.joint = Joint()
        self.values: dict[str, Any] = {}
        self.states = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.keys: dict[str, list[Ids]] = {}
        self.sized: list[tuple[str, Ids]] = []
        self.obstacles: list[str] = []

    def follow(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.values[node.name] = self._placeholder(node)
        elif node.op == "get_attr":
            value = node.meta.get("val")
            self.values[node.name] = Labelled([fixed(size) for size in getattr(value, "shape", ())], False)
        elif node.op == "output":
            for tensor in tensors(self._argument(node.args)):
                for ids in tensor.dims:
                    self.joint.labels.fix(ids)
        elif node.target is operator.getitem:
            source, place = node.args
            self.values[node.name] = self._argument(source)[place]
        else:
            self.values[node.name] = self._call(node)

    def _placeholder(self, node: fx.Node) -> Labelled:
        shape = node.meta["val"].shape
        if node.name not in self.states:
            return Labelled([fixed(size) for size in shape], node.name not in self.states)
        dims = [self.joint.labels.new(size) for size in shape]
        self.keys[self.states[node.name]] = dims
        return Labelled(dims, False)

    def _argument(self, value: Any) -> Any:
        from torch import fx

        if isinstance(value, fx.Node):
            return self.values.get(value.name)
        return [self._argument(each) for each in value] if isinstance(value, list | tuple) else value

    def _call(self, node: fx.Node) -> Any:
        args = [self._argument(value) for value in node.args]
        kwargs = {name: self._argument(value) for name, value in node.kwargs.items()}
        operands, result = tensors([args, kwargs]), node.meta.get("val")
        shapes = [tuple(each.shape) for each in result] if isinstance(result, list | tuple) else None
        shape: Any = shapes if shapes is not None else tuple(getattr(result, "shape", ()))
        computed = any(tensor.computed for tensor in operands)
        name = getattr(getattr(node.target, "_schema", None), "name", str(node.target)).rpartition("::")[2]
        rule = RULES.get(name) or (same if _is_pointwise(node.target) else None)
        layer = _layer(node)
        try:
            if rule is None:
                raise NotImplementedError
            outcome = rule(self.joint, args, kwargs, shapes[0] if shapes and name not in PARTS else shape)
        except (NotImplementedError, ValueError, IndexError, StopIteration):
            outcome = []
        results = _per_result(outcome, shapes or [shape], computed)
        if not results:
            results = self._unknown(operands, f"{name} in {layer!r}", shapes or [shape], computed)
        self.sized.extend((layer, ids) for each in results for ids in each.dims)
        return results[0] if shapes is None else results

    def _unknown(self, operands: list[Labelled], what: str, shapes: Sequence[Shape], computed: bool) -> list[Labelled]:
        """Nothing that reaches an operator without a rule can be pruned."""
        if any(not self.joint.labels.is_fixed(ids) for tensor in operands for ids in tensor.dims):
            self.obstacles.append(what)
        for tensor in operands:
            for ids in tensor.dims:
                self.joint.labels.fix(ids)
        return [Labelled([fixed(size) for size in shape], computed) for shape in shapes]

    def result(self) -> Trace:
        """Channels are labels that are not fixed; those that one weight produces form a group."""
        joint, labels = self.joint, self.joint.labels
        roots = {(key, place): labels.roots(ids) for key, dims in self.keys.items() for place, ids in enumerate(dims)}
        produced, read = (
            {place for place in roots if role.intersection(self.keys[place[0]][place[1]].tolist())}
            for role in (joint.produced, joint.read)
        )
        groups: list[Group] = []
        channel_of: dict[int, int] = {}
        for channels in _together(roots[place] for place in roots if place in produced):
            number = {root: place for place, root in enumerate(channels)}
            members = []
            for (key, dimension), ids in roots.items():
                owner = np.array([number.get(root, -1) for root in ids.tolist()], dtype=np.int64)
                if (owner >= 0).any():
                    members.append(Member(key, dimension, owner, (key, dimension) in produced, (key, dimension) in read))
            channel_of |= {root: len(channel_of) + place for root, place in number.items()}
            first = next(member for member in members if member.produces)
            groups.append(Group(first.key.removesuffix(".weight"), len(channels), tuple(members)))
        sizes = []
        for layer, ids in self.sized:
            owner = np.array([channel_of.get(root, -1) for root in labels.roots(ids).tolist()], dtype=np.int64)
            if (owner >= 0).any():
                sizes.append((layer, owner))
        return Trace(groups, sizes, list(dict.fromkeys(self.obstacles)))


def _together(produced: Iterable[Ids]) -> list[list[int]]:
    """The channels of each group, two or more in the order of the first weight: channels of one weight are together."""
    group_of: dict[int, list[int]] = {}
    for roots in produced:
        channels = [root for root in dict.fromkeys(roots.tolist()) if root != FIXED]
        groups = list({id(group_of[root]): group_of[root] for root in channels if root in group_of}.values())
        merged = [root for group in groups for root in group]
        merged += [root for root in channels if root not in group_of]
        group_of |= dict.fromkeys(merged, merged)
    return [group for group in {id(group): group for group in group_of.values()}.values() if len(group) > 1]


def _per_result(outcome: Sequence[Ids] | Sequence[Labelled], shapes: Sequence[Shape], computed: bool) -> list[Labelled]:
    """The labels of each result of an operator; none where they do not fit the shapes."""
    if outcome and isinstance(outcome[0], Labelled):
        if len(outcome) < len(shapes):
            return []
        results = [each for each in outcome if isinstance(each, Labelled)][: len(shapes)]
    else:
        results = [Labelled([ids for ids in outcome if not isinstance(ids, Labelled)], computed) for _ in shapes]
    fits = [[len(ids) for ids in each.dims] == list(shape) for each, shape in zip(results, shapes, strict=True)]
    if not fits[0]:
        return []
    return [
        each if fit else Labelled([fixed(size) for size in shape], computed)  # statistics that a normalisation also returns
        for each, fit, shape in zip(results, fits, shapes, strict=True)
    ]


def _layer(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _is_pointwise(target: Any) -> bool:
    import torch

    return torch.Tag.pointwise in getattr(target, "tags", ())
