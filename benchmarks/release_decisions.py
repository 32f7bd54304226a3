"""How often the release decision is wrong: simulated candidates with a known true loss, decided by the real procedure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import record
from tasks.core.settings import Contract
from tasks.evaluation.statistics import wilson
from tasks.metrics.binary_classification import auc_components
from tasks.release.decision import Candidate, decide
from tasks.release.evidence import Drop
from tasks.release.paired_tests import PairedDrop, paired_drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rows = Callable[[np.random.Generator, int, float, int], tuple["NDArray[np.float64]", list["NDArray[np.float64]"]]]

RUNS = 1000
RESAMPLED_RUNS = 200
"""Runs of the metrics whose drops are tested by a bootstrap, which takes long."""
MAX_DROP = 0.01
CHANGED_SHARE = 0.02
"""The share of rows whose answer a candidate changes, besides those it loses."""
TEST_ROWS = (150, 500, 2000, 10_000)
CANDIDATES = (5, 20)
SHARED_SHARE = 0.5
"""The share of changed rows that all candidates change alike: recipes of one network err on the same rows."""


def accuracy_rows(generator: np.random.Generator, rows: int, loss: float, count: int) -> Any:
    """Right or wrong per row, of dense and of `count` candidates that lose `loss` of the accuracy."""
    lost, won = (CHANGED_SHARE + loss) / 2, (CHANGED_SHARE - loss) / 2
    accuracy = 0.95
    dense = (generator.random(rows) < accuracy).astype(np.float64)
    shared, mask = generator.random(rows), generator.random(rows) < SHARED_SHARE
    candidates = []
    for _ in range(count):
        draw = np.where(mask, shared, generator.random(rows))
        flipped = np.where(dense == 1, draw < lost / accuracy, draw < max(won, 0) / (1 - accuracy))
        candidates.append(np.where(flipped, 1 - dense, dense))
    return dense, candidates


def auc_rows(generator: np.random.Generator, rows: int, loss: float, count: int) -> Any:
    """DeLong's row values of dense and of `count` candidates whose area under the ROC curve is smaller by `loss`."""
    from scipy.stats import norm

    target = (generator.random(rows) < 0.2).astype(np.int64)
    target[:2] = (0, 1)
    separation = np.sqrt(2) * norm.ppf(0.8)
    own_separation = np.sqrt(2) * norm.ppf(0.8 - loss)
    noise = generator.normal(size=rows)
    dense = auc_components(target, separation * target + noise)
    mixed = 0.995
    candidates = []
    for _ in range(count):
        own = mixed * noise + np.sqrt(1 - mixed**2) * generator.normal(size=rows)
        candidates.append(auc_components(target, own_separation * target + own))
    return dense, candidates


def squared_error_rows(generator: np.random.Generator, rows: int, loss: float, count: int) -> Any:
    """Negative losses with heavy tails, of dense and of `count` candidates whose mean is smaller by `loss`."""
    dense = -generator.chisquare(1, rows)
    candidates = [dense - loss - 0.05 * (generator.chisquare(1, rows) - 1) for _ in range(count)]
    return dense, candidates


def simulate(draw: Rows, rows: int, count: int, losses: float, runs: int, seed: int) -> tuple[int, float]:
    """The number of runs that end with a release, and the mean number of candidates tried."""
    generator = np.random.default_rng([seed, rows, count, round(losses * 1e6)])
    contract = Contract(max_drop=MAX_DROP)
    released, tried = 0, 0
    for _ in range(runs):
        drops: list[list[PairedDrop]] = []
        for _split in range(2):
            dense, answers = draw(generator, rows, losses, count)
            drops.append([paired_drop(dense, answer) for answer in answers])
        candidates = [
            Candidate(
                name=str(number),
                kind="recipe",
                cost=float(generator.random()),
                score=0.0,
                terms={"max_drop": Drop(MAX_DROP, test)},
                validation_drop=validation,
            )
            for number, (validation, test) in enumerate(zip(*drops, strict=True))
        ]
        decision = decide(candidates, contract, rows)
        released += decision.verdict == "released"
        tried += len(decision.tried)
    return released, tried / runs


def main() -> None:
    """Simulate wrong releases at 1.0 and 1.5 times the allowed loss, and right ones without a loss; write the table."""
    results: list[dict[str, Any]] = []
    settings: list[tuple[str, Rows, int, int, float, int]] = [
        ("accuracy", accuracy_rows, rows, count, factor, RUNS)
        for factor in (1.5, 1.0, 0.0)
        for rows in TEST_ROWS
        for count in CANDIDATES
    ]
    for name, draw, sizes in (("AUC", auc_rows, (150, 500)), ("mean of losses", squared_error_rows, (150, 500))):
        settings += [(name, draw, rows, 5, factor, RESAMPLED_RUNS) for factor in (1.5, 0.0) for rows in sizes]
    for metric, draw, rows, count, factor, runs in settings:
        released, tried = simulate(draw, rows, count, factor * MAX_DROP, runs, seed=1)
        interval = wilson(released, runs)
        results.append(
            {
                "metric": metric,
                "test rows": rows,
                "candidates": count,
                "true loss / allowed": factor,
                "runs": runs,
                "released": released / runs,
                "low": interval.low,
                "high": interval.high,
                "tried": tried,
            }
        )
    wrong = max(row["released"] for row in results if row["true loss / allowed"] == 1.5)
    boundary = max(row["released"] for row in results if row["true loss / allowed"] == 1.0)
    power = next(
        row["released"]
        for row in results
        if (row["metric"], row["test rows"], row["candidates"], row["true loss / allowed"]) == ("accuracy", 2000, 5, 0.0)
    )
    record.write(
        "release_decisions",
        f"Of simulated candidates that all lose 1.5 times what is allowed ({MAX_DROP} of the metric), at most {wrong:.1%} of "
        f"the runs end with a release; at exactly what is allowed at most {boundary:.1%}. Without a loss, "
        f"{CHANGED_SHARE:.0%} changed answers, 2,000 test rows and 5 candidates, {power:.1%} do.",
        results,
    )


if __name__ == "__main__":
    main()
