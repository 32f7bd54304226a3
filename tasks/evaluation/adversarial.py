"""Scores on adversarial examples, made with each recipe's own network and answered by its exported file.

The attack knows the network before its weights are stored as integers (a white box), and the examples are transferred to the
file, whose outputs differ from the network's by the rounding of quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tasks.core import onnx_model
from tasks.core.problem import PreprocessingState
from tasks.core.use_case import InputRange, UseCase
from tasks.evaluation import statistics
from tasks.training import activations, adversarial

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor, nn

    from tasks.core.problem import Array
    from tasks.training.adversarial import Ball, Loss

MIN_ROWS, MAX_ROWS = 100, 500
MACS = 1.2e9
"""Rows times multiply-accumulates of dense for one row, which bounds the rows between `MIN_ROWS` and `MAX_ROWS`."""
BATCH = 64
NOTE = "white box on the network before quantization, transferred to the exported file"
METHODS: Mapping[str, Callable[[Loss, Ball, torch.Generator], Tensor]] = {
    "FGSM": lambda loss, ball, generator: adversarial.fgsm(loss, ball),
    "PGD": adversarial.pgd,
}
ATTACKS = (("FGSM", 8 / 255), ("FGSM", 0.1), ("PGD", 0.1))
"""Each attack with its radius, as a share of the range of an input. PGD costs ten times what FGSM does."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """A recipe's network, its ONNX file, and its preprocessing state."""

    network: nn.Module
    content: bytes
    state: PreprocessingState


def measure(case: UseCase, own: Attacked, dense: Attacked, rows: DataFrame, input_range: InputRange) -> list[dict[str, Any]]:
    """The first metric under each attack and radius, with its interval, dense's under the same attack on it, and the drop."""
    problem, models = case.problem_of(own.state), {id(own): own, id(dense): dense}
    sign = 1.0 if problem.higher_is_better else -1.0
    attackers = {key: _Attacker(case, model, rows, input_range) for key, model in models.items()}
    entries = []
    for name, epsilon in ATTACKS:
        values = {key: attacker.per_row_metric(name, epsilon) for key, attacker in attackers.items()}
        score = statistics.mean_interval(values[id(own)])
        drop = None if own is dense else statistics.paired_drop(sign * values[id(dense)], sign * values[id(own)]).as_dict()
        entries.append(
            {
                "attack": name,
                "epsilon": epsilon,
                "rows": len(rows),
                "score": score.value,
                "low": score.low,
                "high": score.high,
                "dense_score": float(values[id(dense)].mean()),
                "drop": drop,
            }
        )
    return entries


class _Attacker:
    """Makes adversarial examples of the rows for one model, and measures its file on them."""

    def __init__(self, case: UseCase, model: Attacked, rows: DataFrame, input_range: InputRange) -> None:
        torch.set_num_threads(case.training.threads)
        self.case, self.model, self.rows, self.input_range = case, model, rows, input_range
        self.problem = case.problem_of(model.state)
        inputs, targets = case.encode(rows, model.state)
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self.network = model.network.eval().requires_grad_(False)
        if self.inputs.ndim == 4:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def per_row_metric(self, attack: str, epsilon: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The first metric's row values (N,) of the file's predictions for the adversarial examples."""
        outputs = onnx_model.predict(self.model.content, self.examples(attack, epsilon))
        predictions = self.problem.decode(self.rows, outputs, self.model.state)
        values: np.ndarray[tuple[int], np.dtype[np.float64]] = np.asarray(self.problem.per_row_metric(predictions), np.float64)
        return values

    def examples(self, attack: str, epsilon: float) -> Array:
        """The adversarial examples (N, ...) in the type of the file's inputs."""
        generator = torch.Generator().manual_seed(statistics.SEED)
        size = activations.rows_per_pass(self.network, self.inputs, BATCH, to_inputs=True)
        blocks = [self._block(slice(at, at + size), attack, epsilon, generator) for at in range(0, len(self.inputs), size)]
        examples: Array = torch.cat(blocks).numpy()
        return examples

    def _block(self, block: slice, attack: str, epsilon: float, generator: torch.Generator) -> Tensor:
        inputs, targets = self.inputs[block], self.targets[block]
        layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
        ball = adversarial.Ball.around(inputs.contiguous(memory_format=layout), self.input_range, epsilon)

        def loss(moved: Tensor) -> Tensor:
            return self.problem.loss(self.network(moved), targets, self.case.training)

        return adversarial.restore_type(METHODS[attack](loss, ball, generator), inputs).contiguous()
