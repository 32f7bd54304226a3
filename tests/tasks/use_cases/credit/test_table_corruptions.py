"""Corruptions of tables: columns that are missing, quantities on another scale, codes left alone; and the range of inputs."""

from typing import Any

import numpy as np
import pandas as pd

from tasks.use_cases.credit import corruptions
from tasks.use_cases.credit.use_case import Credit

KINDS = {"income": "number", "late": "number", "town": "category"}


def table(rows: int = 40) -> pd.DataFrame:
    numbers = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "income": numbers.lognormal(10, 0.5, rows),
            "late": numbers.integers(0, 5, rows).astype(float),
            "town": numbers.choice(["york", "bath"], rows),
            "label": numbers.choice(["yes", "no"], rows),
        }
    )


def kinds(rows: Any) -> Any:
    return KINDS


def test_a_missing_column_is_missing_in_every_row_and_at_least_one_is() -> None:
    rows = table()
    mild = corruptions.drop_columns(rows, np.random.default_rng(1), kinds, 0.1)
    strong = corruptions.drop_columns(rows, np.random.default_rng(1), kinds, 0.7)
    for changed, expected in ((mild, 1), (strong, 2)):
        empty = [name for name in KINDS if changed[name].isna().all() or (changed[name] == "").all()]
        assert len(empty) == expected
        assert all(changed[name].equals(rows[name]) for name in rows.columns if name not in empty)


def test_quantities_change_their_scale_and_codes_do_not() -> None:
    rows = table()
    changed = corruptions.scale_numbers(rows, np.random.default_rng(1), kinds, 2.0)
    np.testing.assert_allclose(changed["income"], 2 * rows["income"])
    pd.testing.assert_frame_equal(changed.drop(columns="income"), rows.drop(columns="income"))


def test_the_range_of_a_number_is_four_standard_deviations_in_normal_scores_and_a_code_has_none() -> None:
    state = {"knots": [[0.0, 10.0, 100.0]], "scores": [[-4.0, 0.0, 4.0]], "categories": {"town": ["bath", "york"]}}
    bounds = Credit().input_range(state)
    assert bounds is not None
    np.testing.assert_allclose(np.asarray(bounds.low), [5.0, 0.0])
    np.testing.assert_allclose(np.asarray(bounds.high), [55.0, 0.0])
