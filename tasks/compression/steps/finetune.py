"""Fine-tune the network as the steps before it left it, taught by the dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.compression.fitting_step import FittingStep
from tasks.core.compression import CompressionContext
from tasks.core.settings import settings

if TYPE_CHECKING:
    from torch import nn


@settings
class Finetune(FittingStep):
    """More epochs for a network that is there already: to find out what training alone brings, or after a step without any."""

    def __call__(self, network: nn.Module, context: CompressionContext) -> nn.Module:
        self.check_trainable(network)
        return self.fit(network, network, context)
