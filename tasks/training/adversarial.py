"""Adversarial examples of real-valued inputs: the fast gradient sign method and projected gradient descent.

I. Goodfellow, J. Shlens, C. Szegedy 2015, "Explaining and harnessing adversarial examples" (ICLR, arXiv 1412.6572); A. Madry et
al. 2018, "Towards deep learning models resistant to adversarial attacks" (ICLR, arXiv 1706.06083).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tasks.core.use_case import InputRange

Loss = Callable[[Tensor], Tensor]
"""The mean loss, a scalar, of float inputs (B, ...)."""
PGD_STEPS = 10
PGD_STEP = 0.25
"""Length of a step, as a share of the radius: 10 steps can cross the ball."""
FAST_STEP = 1.25
"""Length of the one step after a random start, as a share of the radius (E. Wong et al. 2020, arXiv 2001.03994)."""


@dataclass(frozen=True, slots=True)
class Ball:
    """The inputs within `radius` of `centre` (B, ...) in each element, and within `low` and `high` where the centre is."""

    centre: Tensor
    radius: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, inputs: Tensor, input_range: InputRange, epsilon: float) -> Ball:
        """The ball around `inputs` (B, ...) whose radius is the share `epsilon` of the range of each element."""
        centre = inputs.float()
        low, high = (
            torch.as_tensor(end, dtype=torch.float32, device=inputs.device) for end in (input_range.low, input_range.high)
        )
        return cls(centre, epsilon * (high - low), torch.minimum(low, centre), torch.maximum(high, centre))

    def project(self, inputs: Tensor) -> Tensor:
        """The nearest inputs in the ball."""
        near = torch.clamp(inputs, self.centre - self.radius, self.centre + self.radius)
        return torch.clamp(near, self.low, self.high)

    def random(self, generator: torch.Generator | None = None) -> Tensor:
        """Uniformly drawn inputs in the ball."""
        uniform = torch.rand(self.centre.shape, generator=generator, device=self.centre.device)
        return self.project(self.centre + (2 * uniform - 1) * self.radius)

    def step(self, loss: Loss, inputs: Tensor, length: float) -> Tensor:
        """One step of `length` radii along the sign of the gradient of the loss, projected back into the ball."""
        inputs = inputs.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(inputs), inputs)
        return self.project(inputs.detach() + length * self.radius * gradient.sign())


def fgsm(loss: Loss, ball: Ball) -> Tensor:
    """One step of the full radius from the centre: the fast gradient sign method (Goodfellow et al. 2015)."""
    return ball.step(loss, ball.centre, 1.0)


def pgd(loss: Loss, ball: Ball, generator: torch.Generator | None = None) -> Tensor:
    """`PGD_STEPS` steps from a random start: projected gradient descent in the maximum norm (Madry et al. 2018)."""
    inputs = ball.random(generator)
    for _ in range(PGD_STEPS):
        inputs = ball.step(loss, inputs, PGD_STEP)
    return inputs


def fast(loss: Loss, ball: Ball) -> Tensor:
    """One step of `FAST_STEP` radii from a random start, for training (Wong et al. 2020)."""
    return ball.step(loss, ball.random(), FAST_STEP)


def restore_type(examples: Tensor, inputs: Tensor) -> Tensor:
    """The examples in the type of `inputs`; whole numbers are rounded towards the inputs, so that they stay in the ball."""
    if inputs.is_floating_point():
        return examples.to(inputs.dtype)
    change = examples - inputs.float()
    return (inputs.float() + (change + 1e-3 * change.sign()).trunc()).to(inputs.dtype)
