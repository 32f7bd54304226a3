"""What a search for recipes has tried: the front, the other recipes, and the best one under the contract."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dashboard.readers import project_files
from dashboard.readers.artifact_models import parse_as
from flows.recipe_search import trial_results
from flows.recipe_search.trial_results import FULL_EFFORT, Tried
from tasks.core import params_file
from tasks.core.settings import Contract


@dataclass(frozen=True, slots=True)
class Trials:
    """The recipes that were tried on one dense model, each once, with the most effort that it got."""

    results: str
    """The name of the folder of the trials on this dense model."""
    contract: Contract
    front: list[Tried]
    """Tried in full, and no other one is better in all of drop, time and bytes; the smallest file first."""
    dominated: list[Tried]
    """Tried in full."""
    partial: list[Tried]
    """Tried with a part of their epochs only."""
    best: Tried | None
    """The cheapest that keeps the contract as measured on validation rows."""

    @property
    def count(self) -> int:
        return len(self.front) + len(self.dominated) + len(self.partial)


def settings_hash(root: Path, use_case: str) -> str:
    """A short hash of the settings of the dense model that params.yaml describes now; raises `UserError`."""
    return trial_results.request(root, use_case)[1]


def results_name(root: Path, use_case: str, settings: str) -> str:
    """The name of the folder of the newest search's results; empty before there is one of a dense model with these settings."""
    path = trial_results.newest_path(root, use_case)
    newest = project_files.read_object(root, path) if path.is_file() else {}
    return str(newest.get("results", "")) if settings and newest.get("settings") == settings else ""


def read(root: Path, use_case: str, results: str) -> Trials:
    """The trials in this folder, none without its name; raises `UserError` where params.yaml is wrong."""
    contract = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).contract
    folder = project_files.inside(root, root / trial_results.FOLDER / results)
    most: dict[str, Tried] = {}
    for one in trial_results.read_all(folder) if results and folder.is_dir() else []:
        key = recipe_id(one)
        if key not in most or one.effort > most[key].effort:
            most[key] = one
    full = [one for one in most.values() if one.effort == FULL_EFFORT]
    front = trial_results.front(full)
    return Trials(
        results,
        contract,
        front,
        dominated=[one for one in full if one not in front],
        partial=[one for one in most.values() if one.effort != FULL_EFFORT],
        best=trial_results.best_under(contract, front),
    )


def importances(root: Path, results: str) -> tuple[int, dict[str, dict[str, float]]]:
    """From how many trials, and by objective the share of its variance that each setting of a recipe explains."""
    path = trial_results.importances_path(root / trial_results.FOLDER / results)
    if not path.is_file():
        return 0, {}
    content = project_files.read_object(root, path)
    shares = {name: parse_as(content.get(name, {}), dict[str, float], path.name) for name in trial_results.OBJECTIVES}
    return int(content.get("trials", 0)), {name: values for name, values in shares.items() if values}


def recipe_id(one: Tried) -> str:
    """A short name for a recipe, the same for the same steps."""
    return hashlib.sha256(json.dumps(one.recipe, sort_keys=True).encode()).hexdigest()[:12]
