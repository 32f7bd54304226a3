"""Networks whose layers were resized after their constructor ran: how they are made, and how they are made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    Attributes = dict[str, dict[str, Any]]
    """The attributes that tell a layer its size, by layer: plain JSON values."""


def attributes(network: nn.Module) -> Attributes:
    """The attributes of layers that differ from what the constructor set; empty for a network that was never resized."""
    sizes: Attributes = getattr(network, "resized", {})
    return sizes


def resize(network: nn.Module, tensors: Mapping[str, Tensor], changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set tensors of other shapes, the sizes of the layers that own them, and further attributes by layer, in place.

    A tensor that several layers share stays shared.
    """
    from torch import nn

    layers = dict(network.named_modules(remove_duplicate=False))
    shared: dict[int, list[tuple[nn.Module, str]]] = {}
    for layer in network.modules():
        for name, tensor in [*layer._parameters.items(), *layer._buffers.items()]:
            if tensor is not None:
                shared.setdefault(id(tensor), []).append((layer, name))
    done: Attributes = {}
    for key, values in tensors.items():
        prefix, _, name = key.rpartition(".")
        old = layers[prefix]._parameters.get(name)
        if old is None:
            old = layers[prefix]._buffers.get(name)
        if old is None or old.shape == values.shape:
            continue
        places = shared.get(id(old), [(layers[prefix], name)])
        new = nn.Parameter(values.clone(), requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else values.clone()
        for layer, own in places:
            setattr(layer, own, new)
    for prefix, layer in network.named_modules():
        _set(layer, _sizes(layer), done, prefix)
        _set(layer, changes.get(prefix, {}), done, prefix)
    merged: Attributes = {name: dict(sizes) for name, sizes in attributes(network).items()}
    for name, sizes in done.items():
        merged.setdefault(name, {}).update(sizes)
    vars(network)["resized"] = merged


def _set(layer: nn.Module, values: Mapping[str, Any], done: Attributes, prefix: str) -> None:
    for name, value in values.items():
        old = getattr(layer, name)
        new = tuple(value) if isinstance(old, tuple) else value
        if old != new:
            setattr(layer, name, new)
            done.setdefault(prefix, {})[name] = list(value) if isinstance(value, tuple) else value


def _sizes(layer: Any) -> dict[str, Any]:
    """The attributes of a layer of `torch.nn` that follow from the shapes of its tensors."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

    if isinstance(layer, _ConvTransposeNd):
        read, produced = layer.weight.shape[:2]
        return {"in_channels": read, "out_channels": produced * layer.groups}
    if isinstance(layer, _ConvNd):
        produced, read = layer.weight.shape[:2]
        depthwise = layer.groups > 1 and read == 1
        groups = produced * layer.groups // layer.out_channels if depthwise else layer.groups
        return {"in_channels": read * groups, "out_channels": produced, "groups": groups}
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.weight.shape[1], "out_features": layer.weight.shape[0]}
    if isinstance(layer, _NormBase):
        tensors = [tensor for tensor in (layer.weight, layer.running_mean) if tensor is not None]
        return {"num_features": len(tensors[0])} if tensors else {}
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return {"normalized_shape": tuple(layer.weight.shape)} if layer.weight is not None else {}
    if isinstance(layer, nn.GroupNorm):
        return {"num_channels": len(layer.weight)} if layer.weight is not None else {}
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return {"num_embeddings": layer.weight.shape[0], "embedding_dim": layer.weight.shape[1]}
    if isinstance(layer, nn.RNNBase) and not layer.proj_size:
        first = layer.all_weights[0]
        return {"input_size": first[0].shape[1], "hidden_size": first[1].shape[1]}
    if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None:
        inner, width = layer.in_proj_weight.shape[0] // 3, layer.in_proj_weight.shape[1]
        sizes = dict.fromkeys(("embed_dim", "kdim", "vdim"), width)
        return {**sizes, "head_dim": inner // layer.num_heads}
    if isinstance(layer, nn.PReLU):
        return {"num_parameters": len(layer.weight)}
    return {}
