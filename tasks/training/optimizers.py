"""Optimizers by name, the learning-rate schedule, and Muon, which updates hidden matrices by orthogonal steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import SGD, Adafactor, Adagrad, Adam, AdamW, Optimizer

from tasks.core.settings import Training

MATRIX_LAYERS = (_ConvNd, nn.Linear, nn.RNNBase, nn.MultiheadAttention)
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Momentum, orthogonalised before each step (Keller Jordan 2024, kellerjordan.github.io/posts/muon).

    A kernel (out, in, h, w) is treated as the matrix (out, in h w). Steps are scaled to the size of AdamW's (Liu et al. 2025,
    arXiv 2502.16982), so both take the same learning rate.
    """

    def __init__(self, params: Iterable[Any], lr: float, weight_decay: float, momentum: float = 0.9, iterations: int = 5) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "iterations": iterations})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(momentum, group["momentum"]).flatten(1)
                step = orthogonalize(update, group["iterations"]).view(weight.shape)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step, alpha=-group["lr"] * 0.2 * max(update.shape) ** 0.5)


def orthogonalize(matrix: Tensor, iterations: int) -> Tensor:
    """An approximation of the nearest matrix with orthonormal rows or columns, by Newton-Schulz iteration.

    Computes in bfloat16 on a GPU and in float32 elsewhere.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16() if matrix.is_cuda else matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrix.dtype)


def build(name: str, network: nn.Module, lr: float, weight_decay: float) -> list[Optimizer]:
    """The optimizers called `name` for all trainable weights of `network`. Biases and gains have no weight decay.

    Where the network has `learning_rate_shares` (see `transfer`), a group's share of the learning rate is its `lr_share`.
    """
    shares = learning_rate_shares(network)
    if name == "muon":
        matrices = list(hidden_matrices(network))
        matrix_ids = {id(weight) for weight in matrices}
        rest = _parameter_groups(
            (weight for weight in _trainable_weights(network) if id(weight) not in matrix_ids), weight_decay, shares
        )
        others: list[Optimizer] = [AdamW(rest, lr=lr, fused=True)] if rest else []
        return [Muon(matrices, lr=lr, weight_decay=weight_decay), *others] if matrices else others
    groups = _parameter_groups(_trainable_weights(network), weight_decay, shares)
    return [OPTIMIZERS[name](groups, lr)]


def hidden_matrices(network: nn.Module) -> Iterator[Tensor]:
    """The weight matrices and kernels of hidden layers: all but embeddings and the output layer."""
    matrices = [
        weight
        for module in network.modules()
        if isinstance(module, MATRIX_LAYERS)
        for weight in module.parameters(recurse=False)
        if weight.ndim >= 2 and weight.requires_grad
    ]
    yield from matrices[:-1]


def _trainable_weights(network: nn.Module) -> list[Tensor]:
    return [weight for weight in network.parameters() if weight.requires_grad]


def learning_rate_shares(network: nn.Module) -> dict[int, float]:
    """The share of the learning rate of each weight, by `id`; 1 for those that are not in it."""
    shares: dict[str, float] = getattr(network, "learning_rate_shares", {})
    return {id(weight): shares[name] for name, weight in network.named_parameters() if name in shares}


def _parameter_groups(weights: Iterable[Tensor], weight_decay: float, shares: dict[int, float]) -> list[dict[str, Any]]:
    split: dict[tuple[float, float], list[Tensor]] = {(weight_decay, 1.0): [], (0.0, 1.0): []}
    for weight in weights:
        place = (weight_decay if weight.ndim >= 2 else 0.0, shares.get(id(weight), 1.0))
        split.setdefault(place, []).append(weight)
    return [{"params": chosen, "weight_decay": decay, "lr_share": share} for (decay, share), chosen in split.items() if chosen]


def schedule(training: Training, progress: float) -> float:
    """The learning rate as a share of its peak, after a share `progress` (0..1) of all steps.

    It rises linearly over `warmup_share`. Then it is constant (`constant`), falls linearly to 0 (`one_cycle`, Smith 2018,
    arXiv 1803.09820, as in airbench), or falls along half a cosine (`cosine`).
    """
    warmup = training.warmup_share
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    left = (1 - progress) / (1 - warmup)
    return {"constant": 1.0, "one_cycle": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[training.schedule]


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float], Optimizer]] = {
    "sgd": lambda groups, lr: SGD(groups, lr=lr, momentum=0.9, fused=True),
    "nesterov": lambda groups, lr: SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True),
    "adam": lambda groups, lr: Adam(groups, lr=lr, fused=True),
    "adamw": lambda groups, lr: AdamW(groups, lr=lr, fused=True),
    "adagrad": lambda groups, lr: Adagrad(groups, lr=lr),
    "adafactor": lambda groups, lr: Adafactor(groups, lr=lr),
}
