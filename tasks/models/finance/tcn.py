"""A temporal convolutional network (TCN) over a price window; its output for the last day is added to a linear HAR model.

S. Bai, Z. Kolter, V. Koltun 2018, arXiv 1803.01271, computed for the last day only: the layers have kernel 3,
dilations 1, 2, 4, ... and no padding, until one day is left.

Legend: B batch, W days, F channels of a day, C channels of the window encoder, P pooled features, H channels, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.use_cases.finance.window_layers import VolatilityHead, WindowEncoder, plain_json

KERNEL = 3


class Tcn(nn.Module):
    """Price windows (B, W, F) to the next day's log variance and its 5 % and 1 % quantiles (B, O), as in `window_layers`."""

    def __init__(
        self,
        *,
        window: int = 66,
        fear: bool = False,
        news: bool = False,
        hidden: int | Sequence[int] = 32,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        layers = depth(window)
        widths = [hidden] * layers if isinstance(hidden, int) else list(hidden)
        if len(widths) != layers:
            raise UserError(f"hidden={hidden}: a window of {window} days takes {layers} layers; give one width, or one for each")
        self.fields = plain_json(window=window, fear=fear, news=news, hidden=widths, mean=mean, std=std)
        self.stem = WindowEncoder(window, fear=fear, news=news, mean=mean, std=std)
        self.reach = 1 + (KERNEL - 1) * (2**layers - 1)
        before = [self.stem.channels, *widths]
        self.convs = nn.ModuleList(
            nn.Conv1d(wide, width, KERNEL, dilation=2**layer, bias=False)
            for layer, (wide, width) in enumerate(zip(before, widths, strict=False))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.head = VolatilityHead(self.stem.pooled, widths[-1])

    def forward(self, inputs_BWF: Tensor) -> Tensor:
        stem = self.stem(inputs_BWF)
        x_BHW = stem.days_BWC[:, -self.reach :].transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x_BHW = norm(conv(x_BHW)).relu()
        outputs: Tensor = self.head(stem, x_BHW.transpose(1, 2))
        return outputs

    def groups(self) -> dict[str, ChannelGroup]:
        """The channels of each convolution."""
        widths = self.fields["hidden"]
        return {f"convs.{layer}": _group(layer, widths) for layer in range(len(widths))}


def depth(window: int) -> int:
    """The number of layers that reduce a window to one day."""
    return (1 + (window - 1) // (KERNEL - 1)).bit_length() - 1


def _group(layer: int, widths: Sequence[int]) -> ChannelGroup:
    carried = [(f"norms.{layer}.{name}", 0, 1) for name in ("weight", "bias", "running_mean", "running_var")]
    reader = f"convs.{layer + 1}.weight" if layer + 1 < len(widths) else "head.found"
    return ChannelGroup(widths[layer], ((f"convs.{layer}.weight", 0),), (*carried, (reader, 1, 1)), resize_field("hidden", layer))
