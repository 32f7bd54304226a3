"""The steps of a fit: where it stands, one move of the weights after the other, a judgement after every epoch."""

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
from tasks.training import distributed, optimizers, precision
from tasks.training.batches import Rows
from tasks.training.determinism import seed_step
from tasks.training.optimizers import schedule
from tasks.training.precision import Plan
from tasks.training.resume import Resume, State
from tasks.training.validation import Validator

if TYPE_CHECKING:
    from tasks.core.event_log import EventLog
    from tasks.training.interfaces import Objective, Policy

UNIFORMS = 16
"""Random numbers a policy is given per row."""
CHECK_EVERY = 50
"""Steps between two looks at the loss on a GPU, where looking means waiting; on a CPU every step is looked at."""
CHECKPOINT_S = 5.0
"""Seconds between two crash-safe checkpoints: the most work a kill can cost."""


@dataclass(slots=True)
class Progress:
    """What changes from step to step, besides the tensors of the network and its optimizers."""

    step: int = 0
    best_epoch: int = 0
    """The epoch whose weights are kept."""
    top_epoch: int = 0
    """The epoch with the highest score, first come."""
    top_score: float = -math.inf
    top_error: float = 0.0
    curves: list[dict[str, float]] = field(default_factory=list)


class Loop:
    """The state of one fit and the steps that move it."""

    def __init__(
        self, network: nn.Module, data: Rows, objective: Objective, training: Training, plan: Plan, policy: Policy | None
    ) -> None:
        self.training, self.plan, self.data = training, plan, data
        self.objective, self.policy = objective, policy
        self.network = precision.prepared(deepcopy(network), plan).train()
        self.optimizers = optimizers.build(training.optimizer, self.network, training.learning_rate, training.weight_decay)
        self.weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.scaler = torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16")
        self.average = deepcopy(self.network).eval() if training.ema_decay else None
        self.best = self._shown_state()
        self.taught = distributed.wrapped(self.network, plan.device)
        batches = math.ceil(len(data) / training.batch_size)
        self.epoch_steps = math.ceil(batches / training.accumulate)
        self.bounds = np.linspace(0, len(data), batches + 1).astype(int).tolist()  # even batches: no row, no stub left over
        if min(stop - start for start, stop in pairwise(self.bounds)) < distributed.processes():
            raise UserError(
                f"a batch has fewer rows than there are processes ({distributed.processes()}); raise training.batch_size"
            )
        self.losses = torch.zeros(self.epoch_steps, device=plan.device)
        self.now = Progress()

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is judged and kept: the average of the weights, if there is one."""
        return self.network if self.average is None else self.average

    def run(self, judge: Validator | None, event_log: EventLog | None, resume: Resume | None) -> nn.Module:
        """All the steps still to come; gives the network that is kept, in evaluation mode on the CPU."""
        training, now = self.training, self.now
        if resume:
            state, faults = distributed.told(resume.read() if distributed.leads() else (None, []))
            if state:
                self._restore(state)
                now = self.now
            if event_log and (faults or state):
                event_log.log("; ".join([*faults, f"goes on from step {now.step}"]), "warning" if faults else "info")
        self.data.settle(self.plan.device)
        if judge:
            judge.rows.settle(self.plan.device)
        total = training.epochs * self.epoch_steps
        order, order_epoch, saved_at = torch.empty(0), -1, time.monotonic()
        resting = self._rests()
        while now.step < total and not resting:
            epoch, position = divmod(now.step, self.epoch_steps)
            if epoch != order_epoch:
                order, order_epoch = self._order(epoch), epoch
            self.losses[position] = self._step(order, position, total)
            now.step += 1
            ended = position + 1 == self.epoch_steps
            if self.plan.device == "cpu" or now.step % CHECK_EVERY == 0 or ended:
                self._check(epoch, position)
            if event_log:
                event_log.progress(now.step, total, "steps")
            if ended:
                self._close(epoch, judge, event_log)
                resting = self._rests()
            if resume and distributed.leads() and (resting or now.step == total or time.monotonic() - saved_at > CHECKPOINT_S):
                self._check(epoch, position)
                resume.write(self._state())
                saved_at = time.monotonic()
        self.evaluated_network.load_state_dict(self.best)
        kept: nn.Module = self.evaluated_network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        return kept

    def _rests(self) -> bool:
        """Whether patience has run out."""
        now, patience = self.now, self.training.patience
        return bool(patience) and now.step % self.epoch_steps == 0 and len(now.curves) - now.top_epoch >= patience

    def _step(self, order: Tensor, position: int, total: int) -> Tensor:
        """One move of the weights, from `accumulate` batches; returns the loss."""
        training, now, device = self.training, self.now, self.plan.device
        seed_step(training.seed, now.step, device, distributed.rank())
        rate = training.learning_rate * schedule(training, now.step / total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        first = position * training.accumulate
        edges = self.bounds[first : first + training.accumulate + 1]
        loss_sum = torch.zeros((), device=device)
        for start, stop in pairwise(edges):
            rows, burden = distributed.part(order[start:stop])
            x, y = self.data.take(rows, device)
            with torch.no_grad():
                if self.policy:
                    x = self.policy(x, torch.rand(len(x), UNIFORMS, device=device))
                x = precision.prepared_batch(x, self.plan)
            share = (stop - start) / (edges[-1] - edges[0]) * burden
            with nullcontext() if stop == edges[-1] else distributed.alone(self.taught):
                with self.plan.autocast():
                    loss = self._mixed(x, y) if training.mixup else self.objective(self.taught, x, y)
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
            self._follow()
        return distributed.mean(loss_sum)

    def _mixed(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of each row blended with its neighbour's (mixup, Zhang et al. 2018, arXiv 1710.09412)."""
        share = float(torch.distributions.Beta(self.training.mixup, self.training.mixup).sample())
        blend = precision.prepared_batch(x.float().lerp(x.roll(1, 0).float(), 1 - share), self.plan)
        outputs = self.taught(blend)  # once: both objectives read it
        own, other = (self.objective(lambda _: outputs, blend, targets) for targets in (y, y.roll(1, 0)))
        return share * own + (1 - share) * other

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow the weights; early on it follows faster, so that it forgets the start."""
        assert self.average is not None
        decay = min(self.training.ema_decay, (1 + self.now.step) / (10 + self.now.step))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], 1 - decay)
        for name in ours.keys() - floats:
            ours[name].copy_(theirs[name])

    def _order(self, epoch: int) -> Tensor:
        """A fresh order of the rows for this epoch."""
        generator = torch.Generator().manual_seed(self.training.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.data), generator=generator).to(self.data.inputs.device)

    def _check(self, epoch: int, position: int) -> None:
        """Stop at the first loss that is not finite."""
        bad = (~self.losses[: position + 1].isfinite()).nonzero()
        if len(bad):
            at = int(bad[0])
            raise UserError(_diverged(float(self.losses[at]), epoch, epoch * self.epoch_steps + at + 1, self.training))

    def _close(self, epoch: int, judge: Validator | None, event_log: EventLog | None) -> None:
        """The end of an epoch: its point on the curves, and its weights if they are good."""
        now, training = self.now, self.training
        rate = training.learning_rate * schedule(training, (now.step - 1) / (training.epochs * self.epoch_steps))
        point = {"epoch": epoch + 1, "loss": float(self.losses.mean()), "learning_rate": rate}
        score, error = float(epoch), 0.0
        distributed.alike(self.evaluated_network.state_dict().values())  # what a network counts for itself is of its own rows
        if judge:
            more, score, error = distributed.told(
                judge(self.evaluated_network, self.objective, self.plan) if distributed.leads() else ({}, 0.0, 0.0)
            )
            point |= more
        if not math.isfinite(point.get("validation_loss", 0.0)) or not all(weight.isfinite().all() for weight in self.weights):
            raise UserError(_diverged(math.nan, epoch, now.step, training))
        now.curves.append(point)
        if score >= now.top_score - now.top_error:
            now.best_epoch, self.best = epoch + 1, self._shown_state()
        if score > now.top_score:
            now.top_score, now.top_error, now.top_epoch = score, error, epoch + 1
        if event_log:
            event_log.metric(epoch + 1, **{name: value for name, value in point.items() if name != "epoch"})

    def _shown_state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.evaluated_network.state_dict().items()}

    def _tensors(self) -> dict[str, Tensor]:
        """Every tensor the fit goes on from, by name."""
        found = {"losses": self.losses}
        found |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for kind, network in (("network", self.network), ("average", self.average)):
            found |= {f"{kind}.{name}": tensor for name, tensor in network.state_dict().items()} if network else {}
        for number, optimizer in enumerate(self.optimizers):
            for place, weight in enumerate(_held(optimizer)):
                slots = {name: tensor for name, tensor in optimizer.state.get(weight, {}).items() if isinstance(tensor, Tensor)}
                found |= {f"optimizer.{number}.{place}.{name}": tensor for name, tensor in slots.items()}
        return found

    def _state(self) -> State:
        values = {name: value for name, value in asdict(self.now).items() if name != "top_score"}
        return State(
            self.now.step, self._tensors(), values | {"top_score": str(self.now.top_score), "scaler": self.scaler.state_dict()}
        )

    @torch.no_grad()
    def _restore(self, state: State) -> None:
        """Put a kept state back, each tensor in the layout it had."""
        for name, slot in state.tensors.items():
            if name.startswith("optimizer."):
                number, place, key = name.split(".")[1:]
                optimizer = self.optimizers[int(number)]
                weight = _held(optimizer)[int(place)]
                like = torch.empty_like(weight, dtype=slot.dtype) if slot.shape == weight.shape else torch.empty_like(slot)
                optimizer.state[weight][key] = like.copy_(slot)
        for name, tensor in self._tensors().items():
            if not name.startswith("optimizer."):
                tensor.copy_(state.tensors[name])
        self.scaler.load_state_dict(state.values.pop("scaler"))
        self.now = Progress(**state.values | {"top_score": float(state.values["top_score"])})


def _held(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _diverged(loss: float, epoch: int, step: int, training: Training) -> str:
    clip = "" if training.clip_norm else " or set training.clip_norm"
    lower = f"lower training.learning_rate (now {training.learning_rate}){clip}"
    return f"the loss became {loss} in epoch {epoch + 1}, step {step}; {lower}. The last good state is kept"
