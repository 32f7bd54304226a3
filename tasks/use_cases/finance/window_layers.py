"""What every network of price windows shares: a stem that frees windows of their scale, and a head that answers in it.

Legend: B batch, W days of the window (oldest first), F channels of a day, C channels the stem makes of a day,
P pooled figures of a window, S spans, D width of what a network found, M members, O = 3 outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tasks.core.errors import UserError

DAY_CHANNELS = ("log_variance", "return", "place", "weekday", "tail_5", "tail_1", "fear", "mood", "buzz")
"""The channels of a day: logarithm of its variance (squared percent), its return (percent), where in its range it closed
(-0.5 at the low, 0.5 at the high), the next weekday (0..4), by how many volatilities the worst 5 % and 1 % of days fell until
then, where there is one the logarithm of a volatility index, and where there are texts their mood and number."""
LOG_VARIANCE, RETURN, CLOSE_LOCATION, WEEKDAY, TAIL_5, TAIL_1, VIX = range(len(DAY_CHANNELS) - 2)
OUTPUTS = ("log_variance", "quantile_5", "quantile_1")
"""Of the next day: logarithm of its variance (squared percent), and the returns (percent) that 5 % and 1 % of days undercut."""
SPAN_DAYS = (1, 5, 22, 66)
"""A day, a week, a month and a quarter of trading days (F. Corsi, Journal of Financial Econometrics 7, 2009)."""
MONTH_DAYS = 22
MAX_DEVIATIONS = 5.0
"""Standard deviations at which pooled figures are held, so that no window lies farther out than the network has seen."""
USUAL_VIX_LEVEL = 2.8
"""The logarithm of a volatility index (percent a year) less that of the day's volatility, on most days."""


def spans_within(window: int) -> tuple[int, ...]:
    """The spans that a window holds."""
    return tuple(days for days in SPAN_DAYS if days <= window)


def num_pooled(window: int, fear: bool, news: bool) -> int:
    """How many figures the stem pools from a window."""
    spans = spans_within(window)
    return (
        1 + 3 * len(spans) + len(mean_span_positions(spans)) + sum(days >= MONTH_DAYS for days in spans) + 7 + 4 * fear + 4 * news
    )


def mean_span_positions(spans: Sequence[int]) -> list[int]:
    """Positions of the spans whose mean variance tells more: a day's is its own, and the month's is the level."""
    return [place for place, days in enumerate(spans) if days not in (1, MONTH_DAYS)]


class EncodedWindows(NamedTuple):
    """A batch of windows as the stem leaves it."""

    level_B1: Tensor
    """The logarithm of the last month's mean variance."""
    pooled_BP: Tensor
    """Figures pooled over spans."""
    days_BWC: Tensor
    """Each day, told relative to the level."""
    tails_B2: Tensor
    """By how many volatilities the worst 5 % and 1 % of days fell until now."""


class WindowEncoder(nn.Module):
    """Windows (B, W, F) freed of their scale: all is told relative to their level, so that a calm index and a wild share
    look alike. `mean` and `std` (P,) are those of the pooled figures over train rows; empty for none.
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
                f"{len(mean)} means and {len(std)} deviations; a window of {window} days has {self.pooled} pooled figures"
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
        figures_BP = self.figures(inputs_BWF, variances_BS, level_B1, z_BW)
        held_BP = ((figures_BP - self.mean) * self.scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        days_BWC = self.days(inputs_BWF, level_B1, z_BW)
        return EncodedWindows(level_B1, held_BP, days_BWC, inputs_BWF[:, -1, TAIL_5 : TAIL_1 + 1])

    def figures(self, inputs_BWF: Tensor, variances_BS: Tensor, level_B1: Tensor, z_BW: Tensor) -> Tensor:
        """Pooled figures (B, P) as they come, before they are brought to one scale."""
        log_variance_BW, returns_BW = inputs_BWF[..., LOG_VARIANCE], inputs_BWF[..., RETURN]
        path_BW = z_BW.cumsum(1)
        found = [
            level_B1,
            log_variance_BW @ self.averages_WS - level_B1,
            variances_BS[:, self.means].log() - level_B1,
            (z_BW @ self.averages_WS) * self.roots_S,
            (z_BW.clamp(max=0.0) @ self.averages_WS) * self.roots_S,
        ]
        found += [path_BW[:, -1:] - path_BW[:, -days:].amax(1, keepdim=True) for days in self.spans if days >= MONTH_DAYS]
        noise_B1 = returns_BW.square().mean(1, keepdim=True) / log_variance_BW.exp().mean(1, keepdim=True)
        weekday_B4 = ((inputs_BWF[:, -1, WEEKDAY : WEEKDAY + 1] - self.weekdays).abs() < 0.5).to(level_B1.dtype)
        found += [z_BW[:, -1:].abs(), inputs_BWF[:, -1, CLOSE_LOCATION : CLOSE_LOCATION + 1], (noise_B1 + 1e-3).log(), weekday_B4]
        if self.fear:
            fear_BW = inputs_BWF[..., VIX]
            last_B1 = fear_BW[:, -1:]
            found += [last_B1 - level_B1 / 2, last_B1 - fear_BW[:, -2:-1], (fear_BW @ self.averages_WS)[:, 1:3] - last_B1]
        if self.news:
            mood_BW, buzz_BW = inputs_BWF[..., self.news], inputs_BWF[..., self.news + 1]
            usual_B1 = (buzz_BW @ self.averages_WS)[:, 2:3]
            found += [mood_BW[:, -1:], (mood_BW @ self.averages_WS)[:, 1:2], buzz_BW[:, -1:], buzz_BW[:, -1:] - usual_B1]
        return torch.cat(found, 1)

    def days(self, inputs_BWF: Tensor, level_B1: Tensor, z_BW: Tensor) -> Tensor:
        """Each day of the window (B, W, C), told relative to the level."""
        z_BW = z_BW.clamp(-8.0, 8.0)
        found = [
            (inputs_BWF[..., LOG_VARIANCE] - level_B1).clamp(-6.0, 6.0),
            z_BW,
            z_BW.abs(),
            z_BW.clamp(max=0.0),
            inputs_BWF[..., CLOSE_LOCATION],
        ]
        if self.fear:
            found.append((inputs_BWF[..., VIX] - level_B1 / 2 - USUAL_VIX_LEVEL).clamp(-3.0, 3.0))
        if self.news:
            found += [inputs_BWF[..., self.news], inputs_BWF[..., self.news + 1] / 4]
        return torch.stack(found, -1)


class VolatilityHead(nn.Module):
    """Outputs (B, M, O) of M members from what the stem gives and what each member found (B, M, D).

    The log variance is linear in the pooled figures, as in a HAR model, plus what the network adds, at first nothing. The
    quantiles are volatilities times the series' own tail of the last two years, scaled by one learnt number each; they
    teach the network nothing about the volatility. When not training, one answer (B, O): that of the members' mean.
    """

    def __init__(self, pooled: int, width: int, members: int = 1) -> None:
        super().__init__()
        self.plain = nn.Parameter(torch.zeros(members, pooled, 1))
        self.found = nn.Parameter(torch.zeros(members, width, 1))
        self.bias = nn.Parameter(torch.zeros(members, 1))
        self.tail = nn.Parameter(torch.zeros(2))

    def forward(self, stem: EncodedWindows, found_BMD: Tensor) -> Tensor:
        if self.training:
            plain_BM1 = torch.einsum("bp,mpo->bmo", stem.pooled_BP, self.plain) + self.bias
            found_BM1 = torch.einsum("bmd,mdo->bmo", found_BMD, self.found)
            return self.scaled(stem.level_B1.unsqueeze(1) + plain_BM1 + found_BM1, stem.tails_B2.unsqueeze(1))
        # what is linear in the members is one product with their mean
        plain_B1 = stem.pooled_BP @ self.plain.mean(0) + self.bias.mean(0)
        found_B1 = found_BMD.flatten(1) @ (self.found.flatten(0, 1) / len(self.bias))
        return self.scaled(stem.level_B1 + plain_B1 + found_B1, stem.tails_B2)

    def scaled(self, log_variance: Tensor, tails: Tensor) -> Tensor:
        """Outputs (..., O) from log variances (..., 1) and tails (..., 2)."""
        volatility = torch.exp(log_variance * 0.5).detach()
        return torch.cat([log_variance, -volatility * tails * self.tail.exp()], -1)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """QLIKE plus the pinball losses of both quantiles, in volatilities.

    `outputs` are (B, O) or (B, M, O); `targets` (B, 2) the variance (squared percent) and the return (percent) that came.
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
    """How far `outputs` (B, O) or (B, M, O) are from a teacher's (B, O): QLIKE, and the quantiles in volatilities, squared."""
    teacher = teacher_outputs.unsqueeze(1) if outputs.ndim == 3 else teacher_outputs
    difference = teacher[..., 0] - outputs[..., 0]
    apart = (outputs[..., 1:] - teacher[..., 1:]) * torch.exp(teacher[..., :1] * -0.5)
    return (difference.exp() - difference - 1).mean() + apart.square().mean()


def plain_json(**fields: Any) -> dict[str, Any]:
    """Constructor arguments as plain JSON values."""
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in fields.items()}
