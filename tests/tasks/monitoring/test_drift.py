"""Sequential tests of drift: valid p-values, no false alarms, changes found soon, and a state that survives being stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.monitoring import bets
from tasks.monitoring.cells import Cells, category_cells, number_cells, p_values
from tasks.monitoring.drift import DriftTest, LimitTest
from tasks.monitoring.wealth import SCALE, Wealth

ALPHA = 0.01
LETTERS = np.array(list("abcdefgh"))


def rows(generator: np.random.Generator, count: int) -> pd.DataFrame:
    numbers = generator.normal(size=(count, 6))
    table = pd.DataFrame(numbers, columns=[f"n{place}" for place in range(6)])
    return table.assign(rounded=np.round(table["n0"]), letter=LETTERS[(generator.random(count) ** 2 * 8).astype(int)])


def cells_of(table: pd.DataFrame) -> dict[str, Cells]:
    """Cells from every second row, which count the others."""
    first, second = table[::2], table[1::2]
    cells = {name: category_cells(list(first[name])) if name == "letter" else number_cells(first[name]) for name in table}
    return {name: each.counting(second[name].to_numpy()) for name, each in cells.items()}


def test_conformal_p_values_are_uniform_for_rows_like_the_reference_ties_and_missing_values_included() -> None:
    generator = np.random.default_rng(3)
    values = np.round(generator.normal(size=6000), 1)
    values[generator.random(6000) < 0.2] = np.nan
    cells = number_cells(values[:1000]).counting(values[1000:2000])
    assert cells.counts.sum() == 1000
    p = p_values(cells.counts, cells.of(values[2000:]), generator.random(4000))
    assert np.abs(np.sort(p) - np.linspace(0, 1, 4000)).max() < 1.63 / np.sqrt(4000), "Kolmogorov-Smirnov, 1 %"
    assert abs(np.corrcoef(p[1:], p[:-1])[0, 1]) < 3 / np.sqrt(4000)


def test_p_values_count_the_rows_before_them() -> None:
    p = p_values(np.array([1, 2, 1]), np.array([2, 0, 1]), np.array([0.5, 0.5, 0.5]))
    assert p.tolist() == pytest.approx([(0 + 0.5 * 2) / 5, (4 + 0.5 * 2) / 6, (2 + 0.5 * 3) / 7])


def test_values_beyond_the_reference_and_new_categories_have_cells_of_their_own() -> None:
    numbers = number_cells(np.linspace(0, 1, 1001))
    assert numbers.of([-5.0, 0.5, 7.0, np.nan]).tolist() == [0, numbers.of([0.5])[0], len(numbers.edges), len(numbers.edges) + 1]
    letters = category_cells(["a", "b", "a", None])
    assert letters.values == ("a", "b")
    assert letters.of(["b", "z", None]).tolist() == [1, 2, 3]
    assert letters.counts.tolist() == [2, 1, 0, 1]
    for cells in (numbers, letters):
        assert Cells.from_json(json.loads(json.dumps(cells.as_json()))).as_json() == cells.as_json()


def test_the_mean_of_every_bet_is_one_under_the_null_hypothesis() -> None:
    p = (np.arange(200_000) + 0.5) / 200_000
    factors = bets.on_p_values(p[:, None], np.zeros((0, 1)))[:, 0]
    fixed = factors[:, : -len(bets.WINDOWS)]
    assert fixed.mean(0).tolist() == pytest.approx([1.0] * fixed.shape[1], abs=0.02)
    history = np.random.default_rng(1).random((400, 1)) ** 2
    learned = np.array([bets.on_p_values(np.array([[each]]), history)[0, 0, -len(bets.WINDOWS) :] for each in p[::400]])
    assert learned.mean(0).tolist() == pytest.approx([1.0] * len(bets.WINDOWS), abs=1e-9)
    values = np.array([[0.0], [1.0]])
    expected = (np.array([0.9, 0.1])[:, None, None] * bets.on_mean(values, np.array([0.1]))).sum(0)
    assert expected.ravel().tolist() == pytest.approx([1.0] * expected.size)


def test_the_wealth_of_bets_that_begin_at_all_times_is_their_weighted_sum() -> None:
    factors = np.random.default_rng(5).uniform(0.5, 1.6, (40, 1, 2))
    times = np.arange(1, 41)
    weights = SCALE / ((times + SCALE) * (times + SCALE - 1))
    expected = []
    for now in range(1, 41):
        running = sum(weights[start] * np.prod(factors[start:now, 0], 0) for start in range(now))
        expected.append(np.mean(running) + SCALE / (now + SCALE))
    whole = Wealth.of(1, 2).update(factors)[:, 0]
    assert np.exp(whole).tolist() == pytest.approx(expected)
    parts = Wealth.of(1, 2)
    cut = np.concatenate([parts.update(factors[at : at + 7]) for at in range(0, 40, 7)])[:, 0]
    assert cut.tolist() == pytest.approx(whole.tolist())


def test_false_alarms_are_as_rare_as_promised() -> None:
    generator, raised = np.random.default_rng(5), {0.01: 0, 0.2: 0}
    for _ in range(50):
        test = DriftTest.start(cells_of(rows(generator, 1600)))
        test.update(rows(generator, 600))
        for alpha in raised:
            raised[alpha] += bool((test.highest >= test.threshold(alpha)).any())
    assert raised[0.01] == 0
    assert raised[0.2] <= 0.2 * 50


CHANGES: dict[str, Any] = {
    "a column shifted by half a standard deviation": lambda table: table.assign(n3=table["n3"] + 0.5),
    "a column with twice the spread": lambda table: table.assign(n3=table["n3"] * 2),
    "a column with half the spread": lambda table: table.assign(n3=table["n3"] / 2),
    "a column that is missing in every third row": lambda table: table.assign(n3=table["n3"].where(table.index % 3 != 0)),
    "a new category in every fourth row": lambda table: table.assign(letter=table["letter"].where(table.index % 4 != 0, "new")),
    "a frequent category that is gone": lambda table: table.assign(letter=table["letter"].replace("a", "b")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("before", [0, 3000])
def test_a_change_is_found_within_500_rows_also_after_a_long_time_without_one(change: str, before: int) -> None:
    generator = np.random.default_rng(2)
    test = DriftTest.start(cells_of(rows(generator, 2000)))
    test.update(rows(generator, before))
    assert (test.highest < test.threshold(ALPHA)).all()
    evidence = test.update(CHANGES[change](rows(generator, 500)))
    assert (evidence.max(1) >= test.threshold(ALPHA)).any()
    name = test.names[int(evidence[-1].argmax())]
    assert name == ("letter" if "category" in change else "n3")


def test_a_state_that_was_stored_goes_on_as_if_it_never_was() -> None:
    generator = np.random.default_rng(9)
    cells, table = cells_of(rows(generator, 500)), rows(generator, 900)
    whole, parts = DriftTest.start(cells), DriftTest.start(cells)
    parts.update(table.head(400))
    stored = DriftTest.from_json(json.loads(json.dumps(parts.as_json())), cells)
    parts.update(table.iloc[400:])
    stored.update(table.iloc[400:])
    assert stored.highest.tolist() == pytest.approx(parts.highest.tolist(), rel=1e-4, abs=1e-4)
    assert stored.wealth.seen == 900
    whole.update(table.drop(columns="letter"))
    assert whole.highest[whole.names.index("letter")] > whole.threshold(ALPHA), "a column that is not there any more is drift"


def test_a_share_above_its_limit_is_found_and_one_below_is_not() -> None:
    generator = np.random.default_rng(4)
    test = LimitTest.start({"slow": 0.01, "failed": 0.05})
    test.update((generator.random((5000, 2)) < [0.009, 0.045]).astype(float))
    assert (test.highest < np.log(2 / ALPHA)).all()
    restored = LimitTest.from_json(json.loads(json.dumps(test.as_json())))
    evidence = restored.update((generator.random((500, 2)) < [0.05, 0.045]).astype(float))
    assert (evidence.max(0) >= np.log(2 / ALPHA)).tolist() == [True, False]
    assert restored.sums[0] / restored.wealth.seen == pytest.approx(0.0127, abs=0.003)
