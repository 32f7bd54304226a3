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
RIDGE = 1e-3
"""Share of the mean square of a channel that is added when weights are refitted."""
MEAN, STD = 127 / 255, 128 / 255
"""The pretrained weights expect (pixel - 127) / 128."""


class EfficientnetLite0(nn.Module):
    """Images (B, C, H, W), uint8 or float on the scale 0..255, to logits (B, K). Grey images are repeated as three channels.

    `blocks` below 16 keeps the first blocks only. The head of such a network is the expansion of the block that would follow,
    whose pretrained weights exist, so that its features are as nonlinear as those of the whole network. The blocks after the
    first `whole_blocks`, and the head, have `inner_share` of the channels inside; `narrow` says which.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        side: int = 224,
        classes: int = 1000,
        blocks: int = ALL_BLOCKS,
        whole_blocks: int = ALL_BLOCKS,
        inner_share: float = 1.0,
        mean: Sequence[float] = (MEAN, MEAN, MEAN),
        std: Sequence[float] = (STD, STD, STD),
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {
            "channels": channels,
            "side": side,
            "classes": classes,
            "blocks": blocks,
            "whole_blocks": whole_blocks,
            "inner_share": inner_share,
            "mean": list(mean),
            "std": list(std),
        }
        _check(channels, side, classes, blocks, whole_blocks, inner_share)
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
        for number, (before, after, kernel, stride, expansion) in enumerate(shapes[:blocks]):
            inner = _share(before * expansion, inner_share) if number >= whole_blocks else before * expansion
            block = InvertedResidual(before, after, kernel, stride, inner, side)
            side = block.depthwise_conv.side_after
            self.blocks.append(block)
        width, features = shapes[blocks - 1][1], FEATURES
        if blocks < ALL_BLOCKS:
            features = width * shapes[blocks][4]
        if blocks > whole_blocks:
            features = _share(features, inner_share)
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

    def shared_layers(self) -> int:
        """How many of the first `layers` are as wide as those of a whole network: the stem and `whole_blocks`."""
        return 1 + int(min(self.fields["whole_blocks"], self.fields["blocks"]))

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
        """Copy the weights of a network of the same kind with at least as many blocks, for instance of a teacher, as far as they
        fit: those of narrower blocks come from `narrow`."""
        own = self.state_dict()
        whole = type(self)(**{**self.fields, "whole_blocks": ALL_BLOCKS})
        whole.load_pretrained(dict(larger.state_dict()))
        if self.fc.out_features == larger.fc.out_features and self.fc.in_features == larger.fc.in_features:
            whole.fc.load_state_dict(larger.fc.state_dict())
        tensors = whole.state_dict()
        self.load_state_dict({name: tensors[name] if tensors[name].shape == own[name].shape else own[name] for name in own})

    @torch.no_grad()
    def narrow(self, larger: EfficientnetLite0, inputs_BCHW: Tensor) -> None:
        """Take over, of the blocks after the first `whole_blocks` and of the head, the channels that matter most for some inputs.

        `inputs_BCHW` are what the first `whole_blocks` of both networks give. Kept are the channels with the largest root mean
        square times the norm of the weights that read them; what reads the kept ones is fitted to what it gave before by least
        squares (Y. He, X. Zhang, J. Sun, "Channel pruning for accelerating very deep neural networks", 2017, arXiv 1707.06168).
        """
        first = self.fields["whole_blocks"]
        source = type(self)(**{**self.fields, "whole_blocks": ALL_BLOCKS}).eval()
        source.load_pretrained(dict(larger.state_dict()))
        x_BCHW = inputs_BCHW
        for own, block in zip(list(self.blocks)[first:], list(source.blocks)[first:], strict=True):
            assert isinstance(own, InvertedResidual)
            assert isinstance(block, InvertedResidual)
            inner_BCHW = block.inner(x_BCHW)
            norms = block.project_conv.weight.flatten(1).norm(dim=0)
            kept = _most_important(inner_BCHW.square().mean((0, 2, 3)).sqrt() * norms, own.bn1.num_features)
            for mine, theirs in ((own.expand_conv, block.expand_conv), (own.depthwise_conv, block.depthwise_conv)):
                assert mine is not None
                assert theirs is not None
                mine.weight.copy_(theirs.weight[kept])
            for norm, wide in ((own.bn0, block.bn0), (own.bn1, block.bn1)):
                assert norm is not None
                assert wide is not None
                _copy_channels(norm, wide, kept)
            own.bn2.load_state_dict(block.bn2.state_dict())
            own.project_conv.weight.copy_(_refitted(inner_BCHW, block.project_conv.weight, kept))
            x_BCHW = block(x_BCHW)
        features_BF = functional.relu6(source.bn1(source.conv_head(x_BCHW))).mean((2, 3))
        kept = _most_important(features_BF.std(0), self.fc.in_features)
        self.conv_head.weight.copy_(source.conv_head.weight[kept])
        _copy_channels(self.bn1, source.bn1, kept)


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

    def __init__(self, before: int, after: int, kernel: int, stride: int, inner: int, side: int) -> None:
        super().__init__()
        expands = inner != before
        self.expand_conv = nn.Conv2d(before, inner, 1, bias=False) if expands else None
        self.bn0 = _norm(inner) if expands else None
        self.depthwise_conv = SameConv(inner, inner, kernel, stride=stride, side=side, groups=inner)
        self.bn1 = _norm(inner)
        self.project_conv = nn.Conv2d(inner, after, 1, bias=False)
        self.bn2 = _norm(after)
        self.shortcut = stride == 1 and before == after

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        projected_BCHW: Tensor = self.bn2(self.project_conv(self.inner(inputs_BCHW)))
        return projected_BCHW + inputs_BCHW if self.shortcut else projected_BCHW

    def inner(self, x_BCHW: Tensor) -> Tensor:
        """What is projected."""
        if self.expand_conv is not None and self.bn0 is not None:
            x_BCHW = functional.relu6(self.bn0(self.expand_conv(x_BCHW)))
        return functional.relu6(self.bn1(self.depthwise_conv(x_BCHW)))


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


def _share(channels: int, share: float) -> int:
    """A share of the channels, as a multiple of 8."""
    return max(8, int(channels * share) // 8 * 8)


def _most_important(importance_C: Tensor, count: int) -> Tensor:
    """The positions of the most important channels, in their order."""
    return importance_C.topk(count).indices.sort().values


def _copy_channels(norm: nn.BatchNorm2d, wide: nn.BatchNorm2d, kept: Tensor) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).copy_(getattr(wide, name)[kept])


def _refitted(inner_BCHW: Tensor, weight_OC11: Tensor, kept: Tensor) -> Tensor:
    """The weights (O, kept, 1, 1) that come nearest to what all channels gave, with a trace of ridge regression."""
    rows_NC = inner_BCHW.permute(0, 2, 3, 1).flatten(0, 2)
    targets_NO = rows_NC @ weight_OC11.flatten(1).T
    gram = (rows_NC[:, kept].T @ rows_NC[:, kept]).double()
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(kept), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram + ridge, (rows_NC[:, kept].T @ targets_NO).double())
    return solved.T.float()[:, :, None, None]


def _block_shapes() -> list[tuple[int, int, int, int, int]]:
    """Of each block: channels before and after, kernel, stride, expansion."""
    shapes, before = [], STEM
    for repeats, kernel, stride, expansion, after in STAGES:
        for number in range(repeats):
            shapes.append((before, after, kernel, stride if number == 0 else 1, expansion))
            before = after
    return shapes


def _check(channels: int, side: int, classes: int, blocks: int, whole_blocks: int, inner_share: float) -> None:
    if channels not in (1, 3):
        raise UserError(f"channels={channels}: efficientnet_lite0 takes grey (1) or colour (3) images")
    if side < 32:
        raise UserError(f"side={side}: efficientnet_lite0 needs at least 32 pixels; set clean.side=96 or more")
    if not 1 <= blocks <= ALL_BLOCKS:
        raise UserError(f"blocks={blocks}: efficientnet_lite0 has 1 to {ALL_BLOCKS} blocks")
    if classes < 2:
        raise UserError(f"classes={classes}: a classifier needs at least 2")
    if not 0 < inner_share <= 1 or whole_blocks < 1:  # the first block has no channels inside
        raise UserError(f"inner_share={inner_share}, whole_blocks={whole_blocks}: expected a share up to 1, and at least 1 block")
