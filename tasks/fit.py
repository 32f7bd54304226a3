"""The one training loop: arrays in, a fitted network out, the same bytes each time, killed in between or not.

Every step draws its random numbers from (seed, step) alone, so nothing of a generator's past has to be kept.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks import optimizers, precision
from tasks.contracts import Mistake, Training
from tasks.precision import Plan
from tasks.resume import Resume, State

if TYPE_CHECKING:
    from tasks.contracts import Array
    from tasks.journal import Journal

UNIFORMS = 16
"""Random numbers a policy is given per row."""
CHECK_EVERY = 50
"""Steps between two looks at the loss on a GPU, where looking means waiting; on a CPU every step is looked at."""
CHECKPOINT_S = 5.0
"""Seconds between two crash-safe checkpoints: the most work a kill can cost."""
PREDICT_ROWS = 512

Objective = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]
"""`objective(network, inputs, targets)` is the scalar to bring down."""
Monitor = Callable[["Array", "Array"], Mapping[str, float]]
"""`monitor(outputs, targets)` measures all validation rows; the first value chooses the epoch that is kept."""
Error = Callable[["Array"], float]
"""The standard error of that first value, from the same outputs."""
Policy = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit leaves: the network with its best weights, in evaluation mode on the CPU, and how it went."""

    network: nn.Module
    curves: list[dict[str, float]]
    """One entry per epoch: `epoch` (from 1), `loss`, `learning_rate` and what the monitor measured."""
    best_epoch: int
    epochs: int
    steps: int
    plan: Plan


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


def fit(
    network: nn.Module,
    inputs: Array | Tensor,
    targets: Array | Tensor,
    *,
    objective: Objective,
    training: Training,
    validation: tuple[Array | Tensor, Array | Tensor] | None = None,
    monitor: Monitor | None = None,
    higher_is_better: bool = True,
    error: Error | None = None,
    policy: Policy | None = None,
    journal: Journal | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit a copy of `network` to inputs (N, ...) and targets (N, ...), on the scale `training` sets.

    With `validation` (inputs, targets) the weights of a good epoch are kept: good is the first value of `monitor`, or else
    a low objective, and of all epochs within one standard `error` of the best so far the latest is kept, for the very
    top of a noisy curve is luck. Without it, the last epoch's. With `checkpoint`, a folder, a killed fit called again
    with the same arguments goes on from its last state and ends with the same bytes.

    Raises `Mistake` when the loss stops being finite, naming epoch and step, and when the GPU's memory is too small.
    """
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise Mistake(f"{len(inputs)} inputs and {len(targets)} targets: a fit needs as many of one as of the other, and some")
    torch.set_num_threads(training.threads)
    with _deterministic(), torch.random.fork_rng():
        data = _Rows(inputs, targets)
        sample = data.inputs[: min(len(data), training.batch_size)]
        sample = policy(sample, torch.full((len(sample), UNIFORMS), 0.5)) if policy else sample
        chosen = precision.plan(network, sample, training)
        if journal:
            journal.log(f"computes on {chosen.device} in {chosen.precision}: {chosen.reason}")
        loop = _Loop(network, data, objective, training, chosen, policy)
        held_out = _Rows(*validation) if validation else None
        resume = Resume(checkpoint / _key(network, data, held_out, training, chosen)) if checkpoint else None
        try:
            judge = _Judge(held_out, monitor, error, 1.0 if higher_is_better else -1.0) if held_out else None
            return loop.run(judge, journal, resume)
        except torch.OutOfMemoryError:
            smaller = max(1, training.batch_size // 2)
            raise Mistake(
                f"the GPU's memory does not hold a batch of {training.batch_size} rows; "
                f"take batch_size={smaller} and accumulate={2 * training.accumulate}"
            ) from None


def predict(network: nn.Module, inputs: Array | Tensor, plan: Plan | None = None) -> Array:
    """Outputs (N, ...) of a network, float32, in evaluation mode, block by block."""
    plan = plan or Plan("cpu", "fp32", False, "")
    was_training = network.training
    rows = _tensor(inputs)
    blocks = (rows[start : start + PREDICT_ROWS] for start in range(0, len(rows), PREDICT_ROWS))
    outputs: Array = torch.cat([forward(network, precision.prepared_batch(block, plan), plan).cpu() for block in blocks]).numpy()
    network.train(was_training)
    return outputs


class _Rows:
    """Inputs and targets in memory or memory-mapped; moved to the device once when they fit there."""

    def __init__(self, inputs: Array | Tensor, targets: Array | Tensor) -> None:
        self.inputs, self.targets = _tensor(inputs), _tensor(targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def settle(self, device: str) -> None:
        """Move to the device, when it has room for them three times over."""
        size = self.inputs.nbytes + self.targets.nbytes
        if device == "cuda" and 3 * size < torch.cuda.mem_get_info()[0]:
            self.inputs, self.targets = self.inputs.to(device), self.targets.to(device)

    def take(self, rows: Tensor, device: str) -> tuple[Tensor, Tensor]:
        """The rows at these positions, on the device."""
        x, y = self.inputs[rows.to(self.inputs.device)], self.targets[rows.to(self.inputs.device)]
        if device == "cuda" and not x.is_cuda:
            return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
        return x, y


@dataclass(frozen=True, slots=True)
class _Judge:
    """The validation rows and what is asked of them; `sign` turns the first measure into a score to raise."""

    rows: _Rows
    monitor: Monitor | None
    error: Error | None
    sign: float

    def measure(self, outputs: Array, loss: float) -> tuple[dict[str, float], float, float]:
        """All measures by name, the score, and its standard error."""
        found = dict(self.monitor(outputs, self.rows.targets.cpu().numpy())) if self.monitor else {}
        score = self.sign * next(iter(found.values())) if found else -loss
        return found, score, self.error(outputs) if self.error and found else 0.0


class _Loop:
    """The state of one fit and the steps that move it."""

    def __init__(
        self, network: nn.Module, data: _Rows, objective: Objective, training: Training, plan: Plan, policy: Policy | None
    ) -> None:
        self.training, self.plan, self.data = training, plan, data
        self.objective, self.policy = objective, policy
        self.network = precision.prepared(deepcopy(network), plan).train()
        self.optimizers = optimizers.build(training.optimizer, self.network, training.learning_rate, training.weight_decay)
        self.weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.scaler = torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16")
        self.average = deepcopy(self.network).eval() if training.ema_decay else None
        self.best = self._shown_state()
        batches = math.ceil(len(data) / training.batch_size)
        self.epoch_steps = math.ceil(batches / training.accumulate)
        self.bounds = np.linspace(0, len(data), batches + 1).astype(int).tolist()  # even batches: no row, no stub left over
        self.losses = torch.zeros(self.epoch_steps, device=plan.device)
        self.now = Progress()

    @property
    def shown(self) -> nn.Module:
        """The network that is judged and kept: the average of the weights, if there is one."""
        return self.network if self.average is None else self.average

    def run(self, judge: _Judge | None, journal: Journal | None, resume: Resume | None) -> Fitted:
        """All the steps still to come."""
        training, now = self.training, self.now
        if resume:
            state, faults = resume.read()
            if state:
                self._restore(state)
                now = self.now
            if journal and (faults or state):
                journal.log("; ".join([*faults, f"goes on from step {now.step}"]), "warning" if faults else "info")
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
            if journal:
                journal.progress(now.step, total, "steps")
            if ended:
                self._close(epoch, judge, journal)
                resting = self._rests()
            if resume and (resting or now.step == total or time.monotonic() - saved_at > CHECKPOINT_S):
                self._check(epoch, position)
                resume.write(self._state())
                saved_at = time.monotonic()
        self.shown.load_state_dict(self.best)
        fitted = self.shown.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        return Fitted(fitted, now.curves, now.best_epoch, len(now.curves), now.step, self.plan)

    def _rests(self) -> bool:
        """Whether patience has run out."""
        now, patience = self.now, self.training.patience
        return bool(patience) and now.step % self.epoch_steps == 0 and len(now.curves) - now.top_epoch >= patience

    def _step(self, order: Tensor, position: int, total: int) -> Tensor:
        """One move of the weights, from `accumulate` batches; returns the loss."""
        training, now, device = self.training, self.now, self.plan.device
        _seed(training.seed, now.step, device)
        rate = training.learning_rate * schedule(training, now.step / total)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        first = position * training.accumulate
        edges = self.bounds[first : first + training.accumulate + 1]
        loss_sum = torch.zeros((), device=device)
        for start, stop in pairwise(edges):
            x, y = self.data.take(order[start:stop], device)
            with torch.no_grad():
                if self.policy:
                    x = self.policy(x, torch.rand(len(x), UNIFORMS, device=device))
                x = precision.prepared_batch(x, self.plan)
            share = (stop - start) / (edges[-1] - edges[0])
            with self.plan.autocast():
                loss = self._mixed(x, y) if training.mixup else self.objective(self.network, x, y)
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
        return loss_sum

    def _mixed(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of each row blended with its neighbour's (mixup, Zhang et al. 2018, arXiv 1710.09412)."""
        share = float(torch.distributions.Beta(self.training.mixup, self.training.mixup).sample())
        blend = precision.prepared_batch(x.float().lerp(x.roll(1, 0).float(), 1 - share), self.plan)
        outputs = self.network(blend)  # once: both objectives read it
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
            raise Mistake(_diverged(float(self.losses[at]), epoch, epoch * self.epoch_steps + at + 1, self.training))

    def _close(self, epoch: int, judge: _Judge | None, journal: Journal | None) -> None:
        """The end of an epoch: its point on the curves, and its weights if they are good."""
        now, training = self.now, self.training
        rate = training.learning_rate * schedule(training, (now.step - 1) / (training.epochs * self.epoch_steps))
        point = {"epoch": epoch + 1, "loss": float(self.losses.mean()), "learning_rate": rate}
        score, error = float(epoch), 0.0
        if judge:
            outputs, point["validation_loss"] = self._validate(judge.rows)
            measured, score, error = judge.measure(outputs, point["validation_loss"])
            point |= {f"validation_{name}": float(value) for name, value in measured.items()}
        if not math.isfinite(point.get("validation_loss", 0.0)) or not all(weight.isfinite().all() for weight in self.weights):
            raise Mistake(_diverged(math.nan, epoch, now.step, training))
        now.curves.append(point)
        if score >= now.top_score - now.top_error:
            now.best_epoch, self.best = epoch + 1, self._shown_state()
        if score > now.top_score:
            now.top_score, now.top_error, now.top_epoch = score, error, epoch + 1
        if journal:
            journal.metric(epoch + 1, **{name: value for name, value in point.items() if name != "epoch"})

    @torch.no_grad()
    def _validate(self, validation: _Rows) -> tuple[Array, float]:
        """Outputs (N, ...) for the validation rows, and their mean objective."""
        blocks, loss_sum = [], torch.zeros((), device=self.plan.device)
        for start in range(0, len(validation), PREDICT_ROWS):
            block = torch.arange(start, min(start + PREDICT_ROWS, len(validation)))
            x, y = validation.take(block, self.plan.device)
            x = precision.prepared_batch(x, self.plan)
            outputs = forward(self.shown, x, self.plan)
            loss_sum += self.objective(lambda _, known=outputs: known, x, y) * len(block)  # type: ignore[misc]
            blocks.append(outputs.cpu())
        return torch.cat(blocks).numpy(), float(loss_sum) / len(validation)

    def _shown_state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.shown.state_dict().items()}

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


def forward(network: nn.Module, batch: Tensor, plan: Plan) -> Tensor:
    """Outputs of a prepared batch in evaluation mode, float32."""
    network.eval()
    with torch.no_grad(), plan.autocast():
        outputs: Tensor = network(batch)
    return outputs.float()


def schedule(training: Training, done: float) -> float:
    """The learning rate as a share of its peak, when `done` (0..1) of all steps are done.

    It rises linearly over `warmup_share`, then stays (`constant`), falls linearly to nothing (`one_cycle`, Smith 2018,
    arXiv 1803.09820, as airbench uses it), or along half a cosine (`cosine`).
    """
    warmup = training.warmup_share
    if done < warmup:
        return max(done / warmup, 1e-3)
    left = (1 - done) / (1 - warmup)
    return {"constant": 1.0, "one_cycle": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[training.schedule]


@contextmanager
def _deterministic() -> Iterator[None]:
    """Algorithms that give the same bytes each time; the caller's choice is put back."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # it costs time and changes no result
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def _seed(seed: int, step: int, device: str) -> None:
    """Seed this step's random numbers. `torch.manual_seed` would do, at ten times the cost."""
    mixed = seed * 1_000_003 + step
    torch.default_generator.manual_seed(mixed)
    if device == "cuda":
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(mixed)


def _held(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _diverged(loss: float, epoch: int, step: int, training: Training) -> str:
    clip = "" if training.clip_norm else " or set training.clip_norm"
    lower = f"lower training.learning_rate (now {training.learning_rate}){clip}"
    return f"the loss became {loss} in epoch {epoch + 1}, step {step}; {lower}. The last good state is kept"


def _tensor(array: Array | Tensor) -> Tensor:
    if isinstance(array, Tensor):
        return array
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        return torch.from_numpy(array)  # shares its memory; nothing here writes to it


def _key(network: nn.Module, data: _Rows, validation: _Rows | None, training: Training, plan: Plan) -> str:
    """A hash of what a fit depends on, the objective and the policy excepted, which are code and the caller's parameters."""
    digest = sha256()
    machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), precision.cpu_model(), plan.device, plan.precision]
    about = [*machine, repr(training), type(network).__qualname__]
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
    for part in [*(word.encode() for word in about), *code]:
        digest.update(sha256(part).digest())
    rows = [data, validation] if validation else [data]
    for tensor in [*network.state_dict().values(), *(part for each in rows for part in (each.inputs, each.targets))]:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        for block in tensor.detach().cpu().reshape(-1).split(1 << 24):
            digest.update(block.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
