"""Fine-tuning of a pretrained network: which of its weights are fitted, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tasks.training.batches import as_tensor
from tasks.training.precision import ComputePlan
from tasks.training.validation import PREDICT_ROWS

if TYPE_CHECKING:
    from tasks.core.settings import PretrainedMode
    from tasks.core.use_case import Array

LAST_BLOCKS = 2
LAYER_DECAY = 0.9
"""The learning rate of a layer, as a share of that of the layer after it (Howard and Ruder 2018, arXiv 1801.06146)."""
HEAD_SHARE = 10.0
"""The learning rate of the head, which starts from nothing, as a multiple of that of the last block."""
INVERSE_PENALTY = 30.0
"""The inverse weight of the squared weights of a linear head, for features of unit variance over their number."""


class Pretrained(Protocol):
    """What a pretrained network offers besides being an `nn.Module`."""

    def layers(self) -> list[nn.Module]:
        """The modules that fine-tuning may change, from the inputs to the outputs; the last one is a linear head."""


def select_weights(network: nn.Module, mode: PretrainedMode) -> None:
    """Let only the weights that `mode` names be trained, each layer with its share of the learning rate."""
    layers = network.layers()  # type: ignore[operator]
    count = {"frozen": 1, "last_blocks": 1 + LAST_BLOCKS, "all": len(layers)}[mode]
    share_of = dict[int, float]()
    for depth, layer in enumerate(reversed(layers)):
        if depth < count:
            share = HEAD_SHARE if depth == 0 else LAYER_DECAY ** (depth - 1)
            share_of |= {id(weight): share for weight in layer.parameters()}
    shares = {name: share_of[id(weight)] for name, weight in network.named_parameters() if id(weight) in share_of}
    for weight in network.parameters():
        weight.requires_grad_(id(weight) in share_of)
    network.learning_rate_shares = shares  # type: ignore[assignment]


def features(network: nn.Module, inputs: Array | Tensor, plan: ComputePlan) -> Array:
    """The inputs of the head (N, F), float32, of a network in evaluation mode."""
    rows, seen = as_tensor(inputs), list[Tensor]()
    head = network.layers()[-1]  # type: ignore[operator]
    hook = head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].float()))
    network.eval()
    try:
        with torch.no_grad(), plan.autocast():
            for start in range(0, len(rows), PREDICT_ROWS):
                network(rows[start : start + PREDICT_ROWS])
    finally:
        hook.remove()
    values: Array = torch.cat(seen).numpy()
    return values


def fit_head(network: nn.Module, values: Array, classes: Array) -> None:
    """Set the head's weights to a logistic regression of the classes (N,) on features (N, F) of unit variance."""
    from sklearn.linear_model import LogisticRegression

    head: nn.Linear = network.layers()[-1]  # type: ignore[operator]
    mean, spread = values.mean(0, dtype=np.float64), np.asarray(values, np.float64).std(0) + 1e-6
    scaled = (values - mean) / spread / np.sqrt(values.shape[1])
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(scaled, classes)
    coefficients, bias = model.coef_, model.intercept_
    if len(coefficients) == 1:  # two classes: the model has one row, of the second
        coefficients, bias = np.concatenate([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    weights = coefficients / spread / np.sqrt(values.shape[1])
    with torch.no_grad():
        head.weight[:] = torch.from_numpy(weights)
        head.bias[:] = torch.from_numpy(bias - weights @ mean)
