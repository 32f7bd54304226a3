"""Layers that all networks for price windows share: an encoder that normalizes windows by their level, and a volatility head.

Legend: B batch, W days of the window (oldest first), F input channels of a day, C encoded channels of a day,
P pooled features of a window, S spans, D width of a network's features, M members, O = 3 outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tasks.core.errors import UserError

DAY_CHANNELS = ("log_variance", "return", "place", "weekday", "tail_5", "tail_1", "fear", "mood", "buzz")
"""The channels of a day: log variance (squared percent), return (percent), location of the close in the day's range (-0.5 at the
low, 0.5 at the high), the next weekday (0..4), the losses at the 5 % and 1 % quantiles until then in volatilities, and if
available the log volatility index (`fear`), and the sentiment (`mood`) and log number (`buzz`) of texts."""
LOG_VARIANCE, RETURN, CLOSE_LOCATION, WEEKDAY, TAIL_5, TAIL_1, VIX = range(len(DAY_CHANNELS) - 2)
OUTPUTS = ("log_variance", "quantile_5", "quantile_1")
"""Of the next day: log variance (squared percent), and the 5 % and 1 % quantiles of the return (percent)."""
SPAN_DAYS = (1, 5, 22, 66)
"""A day, a week, a month and a quarter of trading days (F. Corsi, Journal of Financial Econometrics 7, 2009)."""
MONTH_DAYS = 22
MAX_DEVIATIONS = 5.0
"""Pooled features are clamped to this many standard deviations, so that no window is far from the train rows."""
USUAL_VIX_LEVEL = 2.8
"""Typical difference of a log volatility index (percent per year) from the log volatility of a day."""


def spans_within(window: int) -> tuple[int, ...]:
    """The spans that fit into a window."""
    return tuple(days for days in SPAN_DAYS if days <= window)


def num_pooled(window: int, fear: bool, news: bool) -> int:
    """The number of pooled features of a window."""
    spans = spans_within(window)
    return (
        1 + 3 * len(spans) + len(mean_span_positions(spans)) + sum(days >= MONTH_DAYS for days in spans) + 7 + 4 * fear + 4 * news
    )


def mean_span_positions(spans: Sequence[int]) -> list[int]:
    """Positions of the spans whose mean variance is a feature: not a day, which has its own, nor the month, the level."""
    return [place for place, days in enumerate(spans) if days not in (1, MONTH_DAYS)]


class EncodedWindows(NamedTuple):
    """The encoder's outputs for a batch of windows."""

    level_B1: Tensor
    """Log mean variance of the last month."""
    pooled_BP: Tensor
    """Features pooled over spans."""
    days_BWC: Tensor
    """The channels of each day, relative to the level."""
    tails_B2: Tensor
    """Losses at the 5 % and 1 % quantiles so far, in volatilities."""


class WindowEncoder(nn.Module):
    """Encodes windows (B, W, F) relative to their level, so that series of low and high volatility have features on one scale.

    `mean` and `std` (P,) are those of the pooled features over the train rows; empty for none. `fear` and `news` say whether the
    windows have a volatility index and texts: these names are keys of released models.
    """

    averages_WS: Tensor
    roots_S: Tensor
    weekdays: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, window: int, *, fear: bool, news: bool, mean: Sequence[float] = (), std: Sequence[float] = ()) -> None:
        super().__init__()
        self.pooled, self.channels, self.fear = num_pooled(window, fear, news), 5 + fear + 2 * news, fear
        self.news = VIX + fear if news else 0
        if window < MONTH_DAYS:
            raise UserError(f"window={window}: at least {MONTH_DAYS} days, a month, are needed")
        if (mean or std) and not len(mean) == len(std) == self.pooled:
            raise UserError(
                f"{len(mean)} means and {len(std)} deviations; a window of {window} days has {self.pooled} pooled features"
            )
        self.spans = spans_within(window)
        self.means = mean_span_positions(self.spans)
        averages_WS = torch.zeros(window, len(self.spans))
        for place, days in enumerate(self.spans):
            averages_WS[-days:, place] = 1 / days
        self.register_buffer("averages_WS", averages_WS, persistent=False)
        self.register_buffer("roots_S", torch.tensor(self.spans).sqrt(), persistent=False)
        self.register_buffer("weekdays", torch.arange(4.0), persistent=False)
        self.register_buffer("mean", torch.tensor(list(mean) or [0.0] * self.pooled), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(list(std) or [1.0] * self.pooled), persistent=False)

    def forward(self, inputs_BWF: Tensor) -> EncodedWindows:
        log_variance_BW, returns_BW = inputs_BWF[..., LOG_VARIANCE], inputs_BWF[..., RETURN]
        variances_BS = log_variance_BW.exp() @ self.averages_WS
        level_B1 = variances_BS[:, 2:3].log()
        z_BW = returns_BW * torch.exp(level_B1 * -0.5)
        features_BP = self.pooled_features(inputs_BWF, variances_BS, level_B1, z_BW)
        clamped_BP = ((features_BP - self.mean) * self.scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        days_BWC = self.day_channels(inputs_BWF, level_B1, z_BW)
        return EncodedWindows(level_B1, clamped_BP, days_BWC, inputs_BWF[:, -1, TAIL_5 : TAIL_1 + 1])

    def pooled_features(self, inputs_BWF: Tensor, variances_BS: Tensor, level_B1: Tensor, z_BW: Tensor) -> Tensor:
        """Pooled features (B, P) before standardization."""
        log_variance_BW, returns_BW = inputs_BWF[..., LOG_VARIANCE], inputs_BWF[..., RETURN]
        path_BW = z_BW.cumsum(1)
        features = [
            level_B1,
            log_variance_BW @ self.averages_WS - level_B1,
            variances_BS[:, self.means].log() - level_B1,
            (z_BW @ self.averages_WS) * self.roots_S,
            (z_BW.clamp(max=0.0) @ self.averages_WS) * self.roots_S,
        ]
        features += [path_BW[:, -1:] - path_BW[:, -days:].amax(1, keepdim=True) for days in self.spans if days >= MONTH_DAYS]
        noise_B1 = returns_BW.square().mean(1, keepdim=True) / log_variance_BW.exp().mean(1, keepdim=True)
        weekday_B4 = ((inputs_BWF[:, -1, WEEKDAY : WEEKDAY + 1] - self.weekdays).abs() < 0.5).to(level_B1.dtype)
        features += [
            z_BW[:, -1:].abs(),
            inputs_BWF[:, -1, CLOSE_LOCATION : CLOSE_LOCATION + 1],
            (noise_B1 + 1e-3).log(),
            weekday_B4,
        ]
        if self.fear:
            vix_BW = inputs_BWF[..., VIX]
            last_B1 = vix_BW[:, -1:]
            features += [last_B1 - level_B1 / 2, last_B1 - vix_BW[:, -2:-1], (vix_BW @ self.averages_WS)[:, 1:3] - last_B1]
        if self.news:
            sentiment_BW, volume_BW = inputs_BWF[..., self.news], inputs_BWF[..., self.news + 1]
            usual_B1 = (volume_BW @ self.averages_WS)[:, 2:3]
            features += [
                sentiment_BW[:, -1:],
                (sentiment_BW @ self.averages_WS)[:, 1:2],
                volume_BW[:, -1:],
                volume_BW[:, -1:] - usual_B1,
            ]
        return torch.cat(features, 1)

    def day_channels(self, inputs_BWF: Tensor, level_B1: Tensor, z_BW: Tensor) -> Tensor:
        """The channels of each day (B, W, C), relative to the level."""
        z_BW = z_BW.clamp(-8.0, 8.0)
        features = [
            (inputs_BWF[..., LOG_VARIANCE] - level_B1).clamp(-6.0, 6.0),
            z_BW,
            z_BW.abs(),
            z_BW.clamp(max=0.0),
            inputs_BWF[..., CLOSE_LOCATION],
        ]
        if self.fear:
            features.append((inputs_BWF[..., VIX] - level_B1 / 2 - USUAL_VIX_LEVEL).clamp(-3.0, 3.0))
        if self.news:
            features += [inputs_BWF[..., self.news], inputs_BWF[..., self.news + 1] / 4]
        return torch.stack(features, -1)


class VolatilityHead(nn.Module):
    """Outputs (B, M, O) of M members, from the encoded windows and each member's features (B, M, D).

    The log variance is linear in the pooled features, as in a HAR model, plus a term of the network's features that starts at 0.
    The quantiles are volatilities times the series' tail of the last two years, with one learned scale each; their loss has no
    gradient with respect to the volatility. In evaluation mode the outputs are (B, O), the mean of the members.
    """

    def __init__(self, pooled: int, width: int, members: int = 1) -> None:
        super().__init__()
        self.plain = nn.Parameter(torch.zeros(members, pooled, 1))
        self.found = nn.Parameter(torch.zeros(members, width, 1))  # the parameters' names are names inside released models
        self.bias = nn.Parameter(torch.zeros(members, 1))
        self.tail = nn.Parameter(torch.zeros(2))

    def forward(self, windows: EncodedWindows, features_BMD: Tensor) -> Tensor:
        if self.training:
            linear_BM1 = torch.einsum("bp,mpo->bmo", windows.pooled_BP, self.plain) + self.bias
            network_BM1 = torch.einsum("bmd,mdo->bmo", features_BMD, self.found)
            return self.scaled(windows.level_B1.unsqueeze(1) + linear_BM1 + network_BM1, windows.tails_B2.unsqueeze(1))
        # a product that is linear in the members is one product with their mean
        linear_B1 = windows.pooled_BP @ self.plain.mean(0) + self.bias.mean(0)
        network_B1 = features_BMD.flatten(1) @ (self.found.flatten(0, 1) / len(self.bias))
        return self.scaled(windows.level_B1 + linear_B1 + network_B1, windows.tails_B2)

    def scaled(self, log_variance: Tensor, tails: Tensor) -> Tensor:
        """Outputs (..., O) from log variances (..., 1) and tails (..., 2), in percent."""
        volatility = torch.exp(log_variance * 0.5).detach()
        return torch.cat([log_variance, -volatility * tails * self.tail.exp()], -1)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """QLIKE plus the pinball losses of both quantiles, in volatilities.

    `outputs` are (B, O) or (B, M, O); `targets` (B, 2) the realized variance (squared percent) and return (percent).
    """
    targets = targets.unsqueeze(1) if outputs.ndim == 3 else targets
    variance, returns = targets[..., 0], targets[..., 1]
    log_variance = outputs[..., 0]
    volatility = torch.exp(log_variance * 0.5).detach()
    total = (variance * torch.exp(-log_variance) - variance.log() + log_variance - 1).mean()
    for place, level in ((1, 0.05), (2, 0.01)):
        error = (returns - outputs[..., place]) / volatility
        total = total + torch.maximum(level * error, (level - 1) * error).mean()
    return total


def distillation_loss(outputs: Tensor, teacher_outputs: Tensor) -> Tensor:
    """Distance of `outputs` (B, O) or (B, M, O) from a teacher's (B, O): QLIKE, and squared differences of the quantiles."""
    teacher = teacher_outputs.unsqueeze(1) if outputs.ndim == 3 else teacher_outputs
    difference = teacher[..., 0] - outputs[..., 0]
    apart = (outputs[..., 1:] - teacher[..., 1:]) * torch.exp(teacher[..., :1] * -0.5)
    return (difference.exp() - difference - 1).mean() + apart.square().mean()


def plain_json(**fields: Any) -> dict[str, Any]:
    """Constructor arguments as plain JSON values."""
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in fields.items()}
