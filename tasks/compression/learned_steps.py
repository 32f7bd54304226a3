"""Weights on a grid of a few bits with learned step sizes, for training a network that is to be stored in integers.

LSQ: S. Esser et al. 2020, "Learned step size quantization", arXiv 1902.08153. Each output channel has its own step size, which is
trained with the weights. The gradient passes the rounding unchanged (straight-through estimator).

Legend: O output channels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import parametrize

QUANTIZED_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
LEAST_STEP = 1e-8


class LearnedSteps(nn.Module):
    """A parametrization of a weight (O, ...): its values rounded to -levels .. levels times the step size of the channel."""

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self.levels = 2 ** (bits - 1) - 1
        values = weight.detach().flatten(1)
        start = 2 * values.abs().mean(1) / self.levels**0.5 if bits <= 4 else values.abs().amax(1) / self.levels
        self.steps = nn.Parameter(start.clamp_min(LEAST_STEP))
        self.gradient_scale = (values.shape[1] * self.levels) ** -0.5

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid, of the same shape."""
        scaled = (self.steps * self.gradient_scale) + (self.steps * (1 - self.gradient_scale)).detach()
        steps = scaled.abs().clamp_min(LEAST_STEP).view(-1, *[1] * (weight.ndim - 1))
        ratio = (weight / steps).clamp(-self.levels, self.levels)
        rounded: Tensor = (ratio + (ratio.round() - ratio).detach()) * steps
        return rounded


def attach(network: nn.Module, bits: int, edge_bits: int, min_values: int) -> list[str]:
    """Put the weights of convolutions and linear layers on a grid, in place; returns the names of the layers of `bits` bits.

    The first and the last such layer, and layers with fewer than `min_values` weights, get `edge_bits` bits.
    """
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, QUANTIZED_LAYERS)]
    narrow = []
    for position, (name, layer) in enumerate(layers):
        wide = position in (0, len(layers) - 1) or layer.weight.numel() < min_values
        parametrize.register_parametrization(layer, "weight", LearnedSteps(layer.weight, edge_bits if wide else bits))
        narrow += [] if wide else [name]
    return narrow


def bake(network: nn.Module) -> nn.Module:
    """The network with its weights as plain parameters that lie on their grids, in place."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network
