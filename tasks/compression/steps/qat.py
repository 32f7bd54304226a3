"""Quantization-aware training: fine-tune the network with its weights on a grid of 4 or 8 bits, taught by the dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.compression.fitting_step import FittingStep
from tasks.core.compression import CompressionContext
from tasks.core.settings import settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Qat(FittingStep):
    """Weights that lie on a grid with learned step sizes, so that `quantize` and `int4` store them without a further loss.

    S. Esser et al. 2020, "Learned step size quantization", arXiv 1902.08153; per output channel. The network stays a float
    network whose weights take few values: put `quantize` after it, and with 4 bits `int4` after that.
    """

    learning_rate_share: Annotated[float, Field(gt=0, le=100)] = 0.2
    """Learning rate, as a multiple of the use case's."""
    bits: Annotated[int, Field(ge=2, le=8)] = 4
    """Bits of a weight."""
    edge_bits: Annotated[int, Field(ge=2, le=8)] = 8
    """Bits of a weight in the first and the last layer, and in layers with fewer weights than `min_values`."""
    min_values: Annotated[int, Field(ge=1)] = 300

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        from copy import deepcopy

        from tasks.compression import learned_steps

        self.check_trainable(network)
        student = deepcopy(network)
        layers = learned_steps.attach(student, self.bits, self.edge_bits, self.min_values)
        if not layers:
            name = type(network).__name__
            context.event_log.log(f"{name} has no inner layer of {self.min_values} weights or more: it stays as it is", "warning")
            context.notes["qat"] = {"bits": self.bits, "layers": []}
            return network
        fitted = self.fit(student, network, context)
        context.notes["qat"] = {"bits": self.bits, "layers": layers}
        return learned_steps.bake(fitted)
