"""The steps of a fit: optimizer updates, validation after every epoch, and crash-safe checkpoints."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.training import adversarial, optimizers
from tasks.training.activations import rows_per_pass, split_edges
from tasks.training.batches import TensorDataset
from tasks.training.interfaces import UNIFORMS
from tasks.training.optimizers import schedule
from tasks.training.resume import FitState, FitStateStore
from tasks.training.runtime import distributed, precision
from tasks.training.runtime.determinism import seed_step
from tasks.training.runtime.precision import ComputePlan
from tasks.training.validation import Validator

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import InputRange
    from tasks.training.interfaces import BatchAugmentation, Objective

CHECK_EVERY = 50
"""Steps between two checks of the loss on a GPU, where a check synchronises; on a CPU every step is checked."""
LOSS_TOLERANCE = 0.1
"""Of epochs whose scores hardly differ, one whose validation loss is this share above the lowest is not kept."""
MAY_BE_INFINITE = ("top_score", "kept_score", "lowest_loss")
"""Fields of `Progress` that begin as an infinity."""
CHECKPOINT_S = 5.0
"""Seconds between two crash-safe checkpoints: the most work that a kill loses, where a checkpoint is quickly written."""
QUICK_WRITE_S = 0.25
"""A checkpoint of a large network takes longer; then they are as many times farther apart, so that a twentieth of the time is
spent on them."""


@dataclass(slots=True)
class Progress:
    """The values that change from step to step, besides the tensors of the network and its optimizers."""

    step: int = 0
    best_epoch: int = 0
    """The epoch whose weights are kept, from 1."""
    top_epoch: int = 0
    """The epoch with the highest score, the earliest of equal ones."""
    top_score: float = -math.inf
    top_error: float = 0.0
    """The standard error of the highest score."""
    kept_score: float = -math.inf
    """The score of the kept epoch."""
    lowest_loss: float = math.inf
    """The lowest validation loss."""
    curves: list[dict[str, float]] = field(default_factory=list)


class TrainingLoop:
    """The state of one fit and the steps that change it."""

    def __init__(
        self,
        network: nn.Module,
        dataset: TensorDataset,
        objective: Objective,
        training: Training,
        plan: ComputePlan,
        augmentation: BatchAugmentation | None,
        input_range: InputRange | None = None,
    ) -> None:
        self.training, self.plan, self.dataset = training, plan, dataset
        self.objective, self.augmentation, self.input_range = objective, augmentation, input_range
        self.network = precision.prepare_network(deepcopy(network), plan).train()
        self.optimizers = optimizers.build(training.optimizer, self.network, training.learning_rate, training.weight_decay)
        self.weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.scaler = torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16")
        self.average = deepcopy(self.network).eval() if training.ema_decay else None
        self.best = self._evaluated_state()
        self.parallel_network = distributed.data_parallel(self.network, plan.device)
        batches = math.ceil(len(dataset) / training.batch_size)
        self.epoch_steps = math.ceil(batches / training.accumulate)
        self.batch_bounds = np.linspace(0, len(dataset), batches + 1).astype(int).tolist()  # even batches, none much smaller
        if min(stop - start for start, stop in pairwise(self.batch_bounds)) < distributed.world_size():
            raise UserError(
                f"a batch has fewer rows than there are processes ({distributed.world_size()}); raise training.batch_size"
            )
        self.pass_rows = len(dataset)
        if plan.device == "cpu" and distributed.world_size() == 1:
            self.pass_rows = rows_per_pass(self.network, dataset.inputs, len(dataset))
        self.losses = torch.zeros(self.epoch_steps, device=plan.device)
        self.progress = Progress()

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is validated and kept: the average of the weights if there is one."""
        return self.network if self.average is None else self.average

    def run(self, validator: Validator | None, event_log: EventLog | None, states: FitStateStore | None) -> nn.Module:
        """Run the remaining steps; returns the network of the kept epoch, in evaluation mode on the CPU.

        Resumes from the newest of `states` if there is one. Raises `UserError` when the loss stops being finite.
        """
        training, progress = self.training, self.progress
        if states:
            state, errors = distributed.broadcast_object(states.read() if distributed.is_main_process() else (None, []))
            if state:
                self._restore(state)
                progress = self.progress
            if event_log and (errors or state):
                event_log.log("; ".join([*errors, f"resumes from step {progress.step}"]), "warning" if errors else "info")
        self.dataset.to_device(self.plan.device)
        if validator:
            validator.rows.to_device(self.plan.device)
        total = training.epochs * self.epoch_steps
        permutation, permutation_epoch, saved_at, write_s = torch.empty(0), -1, time.monotonic(), 0.0
        stopping = self._out_of_patience()
        while progress.step < total and not stopping:
            epoch, position = divmod(progress.step, self.epoch_steps)
            if epoch != permutation_epoch:
                permutation, permutation_epoch = self._permutation(epoch), epoch
            self.losses[position] = self._step(permutation, position, total)
            progress.step += 1
            ended = position + 1 == self.epoch_steps
            if self.plan.device == "cpu" or progress.step % CHECK_EVERY == 0 or ended:
                self._check_finite(epoch, position)
            if event_log:
                event_log.progress(progress.step, total, "steps")
            if ended:
                self._end_epoch(epoch, validator, event_log)
                stopping = self._out_of_patience()
            due = stopping or progress.step == total or time.monotonic() - saved_at > checkpoint_interval(write_s)
            if states and distributed.is_main_process() and due:
                self._check_finite(epoch, position)
                write_start = time.monotonic()
                states.write(self._state())
                saved_at = time.monotonic()
                write_s = saved_at - write_start
        self.evaluated_network.load_state_dict(self.best)
        kept: nn.Module = self.evaluated_network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        return kept

    def _out_of_patience(self) -> bool:
        """Whether the score has not improved for `training.patience` epochs."""
        progress, patience = self.progress, self.training.patience
        return bool(patience) and progress.step % self.epoch_steps == 0 and len(progress.curves) - progress.top_epoch >= patience

    def _step(self, permutation: Tensor, position: int, total: int) -> Tensor:
        """One optimizer update from `accumulate` batches; returns the mean loss."""
        training, progress, device = self.training, self.progress, self.plan.device
        seed_step(training.seed, progress.step, device, distributed.rank())
        learning_rate = training.learning_rate * schedule(training, progress.step / total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group.get("lr_share", 1.0)
        first = position * training.accumulate
        edges = split_edges(self.batch_bounds[first : first + training.accumulate + 1], self.pass_rows)
        loss_sum = torch.zeros((), device=device)
        for start, stop in pairwise(edges):
            rows, shard_weight = distributed.shard(permutation[start:stop])
            x, y = self.dataset.take(rows, device)
            with torch.no_grad():
                if self.augmentation:
                    x = self.augmentation(x, torch.rand(len(x), UNIFORMS, device=device))
                x = precision.prepare_batch(x, self.plan)
            if training.adversarial:
                x = self._adversarial(x, y)
            share = (stop - start) / (edges[-1] - edges[0]) * shard_weight
            with nullcontext() if stop == edges[-1] else distributed.no_gradient_sync(self.parallel_network):
                with self.plan.autocast():
                    loss = self._mixup_loss(x, y) if training.mixup else self.objective(self.parallel_network, x, y)
                self.scaler.scale(loss * share).backward()
            loss_sum += loss.detach() * share
        if training.clip_norm:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(self.weights, training.clip_norm)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        for weight in self.weights:
            weight.grad = None
        if self.average is not None:
            self._update_average()
        return distributed.all_reduce_mean(loss_sum)

    def _adversarial(self, x: Tensor, y: Tensor) -> Tensor:
        """The batch moved against the network: FGSM from a random start (Wong et al. 2020, arXiv 2001.03994)."""
        assert self.input_range

        def loss(moved: Tensor) -> Tensor:
            with self.plan.autocast():
                return self.scaler.scale(self.objective(self.network, moved, y))

        return adversarial.fast(loss, adversarial.Ball.around(x, self.input_range, self.training.adversarial))

    def _mixup_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of rows interpolated with their neighbours (mixup, Zhang et al. 2018, arXiv 1710.09412)."""
        share = float(torch.distributions.Beta(self.training.mixup, self.training.mixup).sample())
        blend = precision.prepare_batch(x.float().lerp(x.roll(1, 0).float(), 1 - share), self.plan)
        outputs = self.parallel_network(blend)  # once: both objectives read it
        own, other = (self.objective(lambda _: outputs, blend, targets) for targets in (y, y.roll(1, 0)))
        return share * own + (1 - share) * other

    @torch.no_grad()
    def _update_average(self) -> None:
        """Update the exponential moving average of the weights, with a smaller decay in early steps, to forget the start."""
        assert self.average is not None
        decay = min(self.training.ema_decay, (1 + self.progress.step) / (10 + self.progress.step))
        averages, weights = self.average.state_dict(), self.network.state_dict()
        floats = [name for name, tensor in averages.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in floats], [weights[name] for name in floats], 1 - decay)
        for name in averages.keys() - floats:
            averages[name].copy_(weights[name])

    def _permutation(self, epoch: int) -> Tensor:
        """A fresh permutation of the rows for this epoch; with `balanced_sampling` as many draws, every class equally likely."""
        generator = torch.Generator().manual_seed(self.training.seed * 1_000_003 + epoch)
        if self.training.balanced_sampling:
            return self._balanced_draws(generator)
        return torch.randperm(len(self.dataset), generator=generator).to(self.dataset.inputs.device)

    def _balanced_draws(self, generator: torch.Generator) -> Tensor:
        """Positions of rows drawn with replacement, (N,): a class at random, then one of its rows."""
        targets = self.dataset.targets
        if targets.ndim != 1:
            raise UserError("training.balanced_sampling needs one class per row; set it to false for this problem")
        classes, place = targets.cpu().unique(return_inverse=True)
        order, counts = place.argsort(stable=True), place.bincount()
        drawn = torch.randint(len(classes), (len(place),), generator=generator)
        within = (torch.rand(len(place), generator=generator, dtype=torch.float64) * counts[drawn]).long()
        rows: Tensor = order[(counts.cumsum(0) - counts)[drawn] + within]
        return rows.to(self.dataset.inputs.device)

    def _check_finite(self, epoch: int, position: int) -> None:
        """Raise `UserError` at the first loss of the epoch that is not finite."""
        bad = (~self.losses[: position + 1].isfinite()).nonzero()
        if len(bad):
            at = int(bad[0])
            raise UserError(_divergence_message(float(self.losses[at]), epoch, epoch * self.epoch_steps + at + 1, self.training))

    def _end_epoch(self, epoch: int, validator: Validator | None, event_log: EventLog | None) -> None:
        """Validate after an epoch, add its point to the curves, and keep its weights if they are the best.

        Raises `UserError` when the validation loss or a weight is not finite.
        """
        progress, training = self.progress, self.training
        learning_rate = training.learning_rate * schedule(training, (progress.step - 1) / (training.epochs * self.epoch_steps))
        point = {"epoch": epoch + 1, "loss": float(self.losses.mean()), "learning_rate": learning_rate}
        score, error = float(epoch), 0.0
        distributed.broadcast_tensors(self.evaluated_network.state_dict().values())  # batch statistics differ
        if validator:
            metrics, score, error = distributed.broadcast_object(
                validator(self.evaluated_network, self.objective, self.plan) if distributed.is_main_process() else ({}, 0.0, 0.0)
            )
            point |= metrics
        if not math.isfinite(point.get("validation_loss", 0.0)) or not all(weight.isfinite().all() for weight in self.weights):
            raise UserError(_divergence_message(math.nan, epoch, progress.step, training))
        progress.curves.append(point)
        loss = point.get("validation_loss", 0.0)
        progress.lowest_loss = min(progress.lowest_loss, loss)
        if score >= progress.top_score - progress.top_error and (
            not error
            or score > progress.kept_score + error
            or loss <= progress.lowest_loss + LOSS_TOLERANCE * abs(progress.lowest_loss)
        ):
            progress.best_epoch, progress.kept_score, self.best = epoch + 1, score, self._evaluated_state()
        if score > progress.top_score:
            progress.top_score, progress.top_error, progress.top_epoch = score, error, epoch + 1
        if event_log:
            event_log.metric(epoch + 1, **{name: value for name, value in point.items() if name != "epoch"})

    def _evaluated_state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.evaluated_network.state_dict().items()}

    def _tensors(self) -> dict[str, Tensor]:
        """Every tensor that a fit resumes from, by name."""
        tensors = {"losses": self.losses}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for kind, network in (("network", self.network), ("average", self.average)):
            tensors |= {f"{kind}.{name}": tensor for name, tensor in network.state_dict().items()} if network else {}
        for number, optimizer in enumerate(self.optimizers):
            for place, weight in enumerate(_weights(optimizer)):
                slots = {name: tensor for name, tensor in optimizer.state.get(weight, {}).items() if isinstance(tensor, Tensor)}
                tensors |= {f"optimizer.{number}.{place}.{name}": tensor for name, tensor in slots.items()}
        return tensors

    def _state(self) -> FitState:
        """The state to save; scores are text, because JSON has no infinity."""
        values = asdict(self.progress) | {name: str(getattr(self.progress, name)) for name in MAY_BE_INFINITE}
        values["scaler"] = self.scaler.state_dict()
        return FitState(self.progress.step, self._tensors(), values)

    @torch.no_grad()
    def _restore(self, state: FitState) -> None:
        """Restore a saved state, each tensor in its memory layout."""
        for name, slot in state.tensors.items():
            if name.startswith("optimizer."):
                number, place, key = name.split(".")[1:]
                optimizer = self.optimizers[int(number)]
                weight = _weights(optimizer)[int(place)]
                like = torch.empty_like(weight, dtype=slot.dtype) if slot.shape == weight.shape else torch.empty_like(slot)
                optimizer.state[weight][key] = like.copy_(slot)
        for name, tensor in self._tensors().items():
            if not name.startswith("optimizer."):
                tensor.copy_(state.tensors[name])
        self.scaler.load_state_dict(state.values.pop("scaler"))
        self.progress = Progress(**state.values | {name: float(state.values[name]) for name in MAY_BE_INFINITE})


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _divergence_message(loss: float, epoch: int, step: int, training: Training) -> str:
    clip = "" if training.clip_norm else " or set training.clip_norm"
    lower = f"lower training.learning_rate (now {training.learning_rate}){clip}"
    return f"the loss became {loss} in epoch {epoch + 1}, step {step}; {lower}. The last good state is kept"


def checkpoint_interval(write_s: float) -> float:
    """Seconds until the next checkpoint, if the last one took `write_s` seconds to write."""
    return CHECKPOINT_S * max(1.0, write_s / QUICK_WRITE_S)
