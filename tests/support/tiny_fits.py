"""A small image classifier and its data, for the tests of training."""

from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tasks.core.settings import Training
from tasks.models.vision.cnn import Cnn
from tasks.training import trainer

QUICK = Training(epochs=3, batch_size=32, learning_rate=0.01, precision="fp32", device="cpu")


def images(count: Any = 192, seed: Any = 0) -> Any:
    """Images (count, 1, 12, 12) of a horizontal, vertical or diagonal bar in noise, and the class of each, 0 to 2."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 3, count)
    x = generator.integers(0, 90, (count, 1, 12, 12))
    at = np.arange(12)
    for row, (kind, place) in enumerate(zip(targets, generator.integers(1, 11, count), strict=True)):
        where = [(np.full(12, place), at), (at, np.full(12, place)), (at, (at + place) % 12)][kind]
        x[row, 0, where[0], where[1]] = 230
    return x.astype(np.uint8), targets.astype(np.int64)


def network(seed: Any = 0) -> Any:
    torch.manual_seed(seed)
    return Cnn(side=12, classes=3, widths=[8, 16, 16, 16, 16], mean=[0.2], std=[0.25])


def objective(model: Any, x: Any, y: Any) -> Any:
    return functional.cross_entropy(model(x).float(), y)


def accuracy(outputs: Any, targets: Any) -> Any:
    return {"accuracy": float((outputs.argmax(1) == targets).mean())}


def fit(training: Any = QUICK, **options: Any) -> Any:
    """Fit a fresh network to the train images."""
    return trainer.fit(network(), *images(), objective=objective, training=training, **options)


def fingerprint(model: Any) -> Any:
    """The SHA-256 of all tensors of a network."""
    return sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values())).hexdigest()
