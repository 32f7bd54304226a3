"""The classic models of the stage `baselines`, measured like a recipe and compared with the dense network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.storage.artifacts import Artifact
from tasks.core.use_case import UseCase
from tasks.evaluation.comparison import compare_with_dense
from tasks.evaluation.robustness import ShippedModel
from tasks.evaluation.uncertainty import ENCODED_ROWS

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class ClassicModel:
    """The file of a classic model, its report, and its predictions by split."""

    path: Path
    report: Mapping[str, Any]
    predictions: Mapping[str, DataFrame]

    @property
    def slug(self) -> str:
        return str(self.report["slug"])

    @property
    def name(self) -> str:
        return str(self.report["name"])

    def metrics(
        self, case: UseCase, problem: Problem, dense: Mapping[str, Any], rows: Mapping[str, DataFrame], measured: Measured
    ) -> dict[str, Any]:
        """Metrics in the form of a recipe's metrics.json. `dense` are the dense network's, with `predictions` by split."""
        size: dict[str, Any] = {name: self.report[name] for name in ("bytes", "parameters", "macs")}
        return {
            "recipe": self.slug,
            "name": self.name,
            "rows": dense["rows"],
            **size,
            "bytes_share": size["bytes"] / dense["bytes"],
            "parameters_share": size["parameters"] / dense["parameters"] if size["parameters"] else None,
            "macs_share": None,
            "splits": {split: measured(problem, predictions) for split, predictions in self.predictions.items()},
            "against_dense": {
                split: compare_with_dense(
                    problem, case.label_column(rows[split]), predictions, dense["predictions"][split], rows[split]
                )
                for split, predictions in self.predictions.items()
            },
        }

    @property
    def shipped(self) -> ShippedModel:
        """The file with the preprocessing state in its metadata."""
        content = self.path.read_bytes()
        return ShippedModel(content, onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"])


Measured = Callable[[Problem, "DataFrame"], dict[str, Any]]
"""From predictions of a split to its metrics."""


def load(artifact: Artifact, case: UseCase, rows: Mapping[str, DataFrame], recipes: Sequence[str]) -> list[ClassicModel]:
    """The classic models with their predictions for the `rows` of each split.

    Raises a `UserError` where a recipe has the name of one.
    """
    folder, models = artifact.open(), []
    for slug in artifact.json("report.json")["baselines"]:
        if slug in recipes:
            raise UserError(f"params.yaml: recipes.{slug} has the name of a classic model; rename the recipe")
        path = folder / slug / "model.onnx"
        content = path.read_bytes()
        predictions = {split: predict(content, case, table) for split, table in rows.items()}
        models.append(ClassicModel(path, artifact.json(f"{slug}/report.json"), predictions))
    return models


def predict(content: bytes, case: UseCase, rows: DataFrame) -> DataFrame:
    """The predictions of a file for `rows`, with `split`, `file` and `row`."""
    state = onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"]
    starts = range(0, max(1, len(rows)), ENCODED_ROWS)
    blocks = [rows.iloc[start : start + ENCODED_ROWS].reset_index(drop=True) for start in starts]
    outputs = np.concatenate([onnx_model.predict(content, case.encode(block, state)[0]) for block in blocks])
    predictions = case.problem_of(state).decode(rows, outputs, state).reset_index(drop=True)
    origin = [name for name in ("split", "file", "row") if name in rows and name not in predictions]
    return predictions.assign(**{name: rows[name].to_numpy() for name in origin})
