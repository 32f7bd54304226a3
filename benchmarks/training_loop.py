"""Overhead of the training loop over a bare PyTorch loop with the same arithmetic."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from benchmarks import record
from tasks.core import registry
from tasks.core.settings import Training
from tasks.training import optimizers
from tasks.training.trainer import fit

ROUNDS = 5
ROWS = 2048
NETWORKS = {
    "narrow (a step of a few ms)": {"widths": [8, 8, 8, 16, 16]},
    "the digits network": {},
}


def main() -> None:
    """Alternate the two loops in one process, one thread; the ratio of each round, and its spread."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (ROWS, 1, 28, 28), dtype=np.uint8)
    targets = generator.integers(0, 10, ROWS)
    rows = []
    for name, fields in NETWORKS.items():
        for optimizer in ("adamw", "muon"):
            training = Training(epochs=2, optimizer=optimizer, precision="fp32", schedule="one_cycle", seed=0)
            ours = _timed(lambda fields=fields, training=training: _training_loop(fields, inputs, targets, training))
            bare = _timed(lambda fields=fields, training=training: _bare_loop(fields, inputs, targets, training))
            rounds = [(bare(), ours()) for _ in range(ROUNDS + 1)][1:]
            ratios = [alone / whole for alone, whole in rounds]
            rows.append(
                {
                    "network": name,
                    "optimizer": optimizer,
                    "bare_rows_per_cpu_s": round(training.epochs * ROWS / statistics.median(alone for alone, _ in rounds)),
                    "loop_rows_per_cpu_s": round(training.epochs * ROWS / statistics.median(whole for _, whole in rounds)),
                    "throughput_ratio": statistics.median(ratios),
                    "ratio_min": min(ratios),
                    "ratio_max": max(ratios),
                    "rounds": ROUNDS,
                }
            )
    record.write(
        "training_loop",
        "Throughput of the training loop against a bare PyTorch loop of the same network (1 = no overhead).",
        rows,
    )


def _timed(function: Callable[[], None]) -> Callable[[], float]:
    def run() -> float:
        began = time.process_time()
        function()
        return time.process_time() - began

    return run


def _training_loop(fields: dict[str, object], inputs: np.ndarray, targets: np.ndarray, training: Training) -> None:
    torch.manual_seed(0)
    fit(
        registry.build_network("vision", "cnn", fields),
        inputs,
        targets,
        objective=lambda network, x, y: functional.cross_entropy(network(x), y),
        training=training,
    )


def _bare_loop(fields: dict[str, object], inputs: np.ndarray, targets: np.ndarray, training: Training) -> None:
    """The shortest loop that trains the same network: no event log, no checks, no checkpoint, no best weights."""
    torch.manual_seed(0)
    network = registry.build_network("vision", "cnn", fields).to(memory_format=torch.channels_last).train()
    moved = optimizers.build(training.optimizer, network, training.learning_rate, training.weight_decay)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    for _ in range(training.epochs):
        for batch in torch.randperm(len(x)).split(training.batch_size):
            functional.cross_entropy(network(x[batch].contiguous(memory_format=torch.channels_last)), y[batch]).backward()
            for optimizer in moved:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
