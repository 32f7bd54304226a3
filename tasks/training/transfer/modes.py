"""Fits a pretrained network by a mode: `frozen` features, its `last_blocks`, or `all` layers.

Each begins with a linear head on the features of the pretrained layers: fine-tuning from there distorts them less than from a
random head (A. Kumar et al. 2022, arXiv 2202.10054). Learning rates fall from the head to the inputs (discriminative fine-tuning,
J. Howard, S. Ruder 2018, arXiv 1801.06146).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.settings import PretrainedModel, Training
from tasks.training import trainer
from tasks.training.batches import TensorDataset
from tasks.training.interfaces import BatchAugmentation, Monitor, Objective, StandardError
from tasks.training.runtime import precision
from tasks.training.runtime.determinism import deterministic
from tasks.training.transfer import features, linear_head
from tasks.training.validation import Validator

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import Array, InputRange


BODY_AND_HEAD = 2
"""Layers of a network whose body cannot be computed block by block."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A fit by transfer learning: `trainer.fit` takes the same arguments."""

    model: PretrainedModel
    training: Training
    objective: Objective
    monitor: Monitor
    higher_is_better: bool = True
    standard_error: StandardError | None = None
    augmentation: BatchAugmentation | None = None
    input_range: InputRange | None = None
    event_log: EventLog | None = None
    checkpoint: Path = field(default_factory=Path)
    """A folder from which a killed fit resumes; it also keeps the features until the fit is done."""

    def fit(self, network: nn.Module, inputs: Array, targets: Array, validation: tuple[Array, Array]) -> trainer.FitResult:
        """The fitted network, whose last layer and trained layers were changed in place, and the record of its training.

        The state with the best validation score is kept, which may be the one that only has a new head. Equal arguments give
        equal bytes. Raises `UserError` when the targets are no classes.
        """
        if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
            raise UserError("a pretrained network learns classes only; take another model.architecture for this problem")
        if self.training.adversarial and self.model.mode != "all":
            raise UserError(f"training.adversarial needs model.mode=all, as {self.model.mode} moves no inputs; set it to 0")
        torch.set_num_threads(self.training.threads)
        layers = network.layers()  # type: ignore[operator]
        sample = torch.from_numpy(np.ascontiguousarray(inputs[: self.training.batch_size]))
        with deterministic():
            plan = precision.choose_plan(network, sample, self.training, forward_only=True)
            self._log(f"computes features on {plan.device} in {plan.precision}: {plan.reason}")
            cut = self._first_trained(len(layers))
            lower, upper = nn.Sequential(*layers[:cut]), FineTuned(Float(), *layers[cut:])
            rows = self._features(lower, inputs, plan, varied=self.model.mode != "all")
            held_out = self._features(lower, validation[0], plan, varied=False), validation[1]
            targets_of_rows = np.tile(targets, len(rows) // len(targets))
            self._fit_head(upper, (rows, targets_of_rows), held_out)
        start = self._evaluate(upper, (rows, targets_of_rows), held_out)
        if self.model.mode == "frozen":
            return trainer.FitResult(network.eval(), [start], 1, 1, 0, plan)
        if self._trains_whole(len(layers)):
            return self._fine_tune(network, FineTuned(*layers), (inputs, targets), validation, start, whole=True)
        return self._fine_tune(network, upper, (rows, targets_of_rows), held_out, start, whole=False)

    def _trains_whole(self, count: int) -> bool:
        """Whether every step computes all of the layers: also for `last_blocks` of a network of a body and a head, such as a text
        encoder, which freezes its other blocks itself."""
        return self.model.mode == "all" or (self.model.mode == "last_blocks" and count == BODY_AND_HEAD)

    def _first_trained(self, count: int) -> int:
        """The position of the first layer that is not computed in advance: all but the head, or but the last blocks too."""
        if self.model.mode != "last_blocks":
            return count - 1
        return first_trained_block(count, self.model.trained_blocks)

    def _features(self, lower: nn.Module, inputs: Array, plan: precision.ComputePlan, varied: bool) -> Array:
        augmentation = self.augmentation if varied else None
        return features.compute(
            lower,
            inputs,
            plan,
            self.checkpoint / "features",
            variants=self.model.cached_variants if augmentation else 1,
            augmentation=augmentation,
            seed=self.training.seed,
            event_log=self.event_log,
        )

    def _fit_head(self, upper: nn.Sequential, rows: tuple[Array, Array], held_out: tuple[Array, Array]) -> None:
        head = fit_head(upper, rows, held_out, balanced=self.training.balanced_sampling)
        self._log(f"a linear head on {head.weight.shape[1]:,} features of {len(rows[0]):,} rows, C = {head.strength:g}")

    def _evaluate(self, upper: nn.Module, rows: tuple[Array, Array], held_out: tuple[Array, Array]) -> dict[str, float]:
        """The first point of the curves: the network with its new head."""
        plan = precision.ComputePlan("cpu", "fp32", False, "")
        _, loss = Validator(TensorDataset(*rows), None, None, 1.0).outputs(upper, self.objective, plan)
        measured, _, _ = Validator(TensorDataset(*held_out), self.monitor, None, 1.0)(upper, self.objective, plan)
        point = {"epoch": 1, "loss": loss, "learning_rate": 0.0, **measured}
        if self.event_log:
            self.event_log.metric(1, **{name: value for name, value in point.items() if name != "epoch"})
        return point

    def _fine_tune(
        self,
        network: nn.Module,
        trained: nn.Sequential,
        rows: tuple[Array, Array],
        held_out: tuple[Array, Array],
        start: dict[str, float],
        *,
        whole: bool,
    ) -> trainer.FitResult:
        """Train the layers of `trained`, whose weights `network` shares; the start is kept where no epoch reaches its score."""
        trained.learning_rate_shares = learning_rate_shares(trained, self.model.block_decay)  # type: ignore[assignment]
        fitted = trainer.fit(
            trained,
            *rows,
            objective=self.objective,
            training=self.training,
            validation=held_out,
            monitor=self.monitor,
            higher_is_better=self.higher_is_better,
            standard_error=self.standard_error,
            augmentation=self.augmentation if whole else None,
            input_range=self.input_range if whole else None,
            event_log=self.event_log,
            checkpoint=self.checkpoint / "fit",
        )
        curves = [start, *({**point, "epoch": point["epoch"] + 1} for point in fitted.curves)]
        sign = 1.0 if self.higher_is_better else -1.0
        first = next(name for name in start if name.startswith("validation_") and name != "validation_loss")
        best = fitted.best_epoch + 1
        if sign * curves[best - 1][first] < sign * start[first]:
            best = 1
            self._log("no epoch of fine-tuning reached the score of the linear head, which is kept")
        else:
            trained.load_state_dict(fitted.network.state_dict())
        return replace(fitted, network=network.eval(), curves=curves, best_epoch=best, epochs=len(curves))

    def _log(self, message: str) -> None:
        if self.event_log:
            self.event_log.log(message)


def fit(
    model: PretrainedModel,
    network: nn.Module,
    inputs: Array,
    targets: Array,
    *,
    validation: tuple[Array, Array],
    **arguments: Any,
) -> trainer.FitResult:
    """`trainer.fit` for a pretrained network: `arguments` are the fields of `Transfer`."""
    return Transfer(model=model, **arguments).fit(network, inputs, targets, validation)


def learning_rate_shares(layers: nn.Sequential, decay: float) -> dict[str, float]:
    """The share of the learning rate of each parameter: 1 for the last layer, `decay` times less for each layer before it."""
    last = len(layers) - 1
    return {name: decay ** (last - int(name.partition(".")[0])) for name, _ in layers.named_parameters()}


def first_trained_block(count: int, trained_blocks: int) -> int:
    """The position of the first of `count` layers that is trained: the last blocks, the last convolution and the head are."""
    return max(1, count - 2 - trained_blocks)


def fit_head(
    upper: nn.Sequential, rows: tuple[Array, Array], held_out: tuple[Array, Array], *, balanced: bool
) -> linear_head.LinearHead:
    """Set the last layer to a logistic regression on what reaches it; returns the regression."""
    linear = upper[-1]
    assert isinstance(linear, nn.Linear)
    reached = [trainer.predict(upper[:-1], part[0]) for part in (rows, held_out)]
    head = linear_head.fit(reached[0], rows[1], (reached[1], held_out[1]), linear.out_features, balanced=balanced)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(head.weight))
        linear.bias.copy_(torch.from_numpy(head.bias))
    return head


class FineTuned(nn.Sequential):
    """Layers whose normalisations keep the statistics of pretraining: those of small batches would move every feature at once."""

    def train(self, mode: bool = True) -> FineTuned:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


class Float(nn.Module):
    """Half-precision features as float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()
