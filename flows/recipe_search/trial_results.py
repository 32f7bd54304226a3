"""What a search has tried: read from its files, and the front of what no other recipe dominates. Loads neither DVC nor Optuna."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.parameters import run_request
from flows.recipe_search.trial import TrialResult
from tasks.core.compression import DENSE

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest
    from tasks.core.settings import Contract

FULL_EFFORT = 1.0
"""The effort of a recipe that was tried with all of its epochs."""
OBJECTIVES = ("drop", "ms", "bytes")
"""What a search makes small: drop of the first metric, milliseconds at batch 1, bytes."""
FOLDER = Path(".bonsai") / "recipes"
"""The folder of searches, in the project."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe and what it gave, with all of its effort unless `effort` says less."""

    recipe: list[dict[str, Any]]
    result: TrialResult
    effort: float = FULL_EFFORT

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Drop of the first metric, milliseconds at batch 1, bytes: less is better."""
        return (self.result.drop, self.result.ms, float(self.result.bytes))


def request(root: Path, use_case: str) -> tuple[RunRequest, str]:
    """The request of the use case's dense model as params.yaml has it now, and a short hash of its settings."""
    built = run_request.build_request(root, [use_case], [DENSE])
    return built, built.hash[:12]


def newest_path(root: Path, use_case: str) -> Path:
    """The file that names the settings and the folder of results of the newest search."""
    return root / FOLDER / f"{use_case}-newest.json"


def importances_path(results: Path) -> Path:
    """The file with what the settings of recipes explain of each objective, beside the folder of results."""
    return results.with_name(f"{results.name}-importances.json")


def read_all(results: Path) -> list[Tried]:
    """Every trial on this dense model that gave something, whatever its effort."""
    entries = [_entry(path, path.stat().st_mtime_ns) for path in sorted(results.glob("*.json"))]
    return [
        Tried(entry["recipe"], TrialResult(**entry["result"]), float(entry["effort"]))
        for entry in entries
        if not entry["result"].get("error")
    ]


def read_tried(results: Path) -> list[Tried]:
    """Everything that was tried with all of its effort, on this dense model."""
    return [one for one in read_all(results) if one.effort == FULL_EFFORT]


@lru_cache(maxsize=8192)
def _entry(path: Path, mtime_ns: int) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return entry


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is nowhere more than `other`, and somewhere less."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def front(tried: Sequence[Tried]) -> list[Tried]:
    """Those that no other one dominates, the smallest file first."""
    kept = [one for one in tried if not any(dominates(other.objectives, one.objectives) for other in tried)]
    return sorted(kept, key=lambda one: (one.result.bytes, one.result.ms))


def best_under(contract: Contract, tried: Sequence[Tried]) -> Tried | None:
    """The cheapest, by bytes times milliseconds, that keeps the contract as measured on validation rows; None if none does."""
    keeps = [
        one
        for one in tried
        if one.result.drop <= contract.max_drop
        and one.result.speedup >= contract.min_speedup
        and one.result.size_share <= contract.max_size_share
    ]
    return min(keeps, key=lambda one: one.result.bytes * one.result.ms, default=None)


def steps_text(recipe: list[dict[str, Any]]) -> str:
    """The recipe as one line of YAML."""
    return yaml.safe_dump(recipe, default_flow_style=True, width=10_000, sort_keys=False).strip()
