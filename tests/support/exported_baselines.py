"""Predictions of the exported classic models of a use case, as evaluate makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.core.exported_baseline import slug
from tasks.core.use_case import UseCase
from tasks.evaluation import classic_models
from tasks.stages import baselines

if TYPE_CHECKING:
    from pandas import DataFrame


def contents(case: UseCase, train: DataFrame) -> dict[str, bytes]:
    """The file of each classic model, by name, after it was compared with scikit-learn."""
    files = {}
    for name, exported in case.exported_baselines(train).items():
        files[name] = baselines.to_bytes(exported, type(case).__name__.lower(), slug(name))
        baselines.parity(files[name], exported.inputs, exported.expected, name)
    return files


def predictions(case: UseCase, train: DataFrame, rows: DataFrame) -> dict[str, DataFrame]:
    """The predictions of each file for `rows`, by name."""
    return {name: classic_models.predict(content, case, rows) for name, content in contents(case, train).items()}
