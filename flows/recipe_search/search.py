"""Search recipes: students, pruning, bits and number formats, for the front of accuracy, latency and bytes.

A generation of recipes is tried with a ninth of the effort, the best third of it with a third, and the best of those with all of
it (successive halving: K. Jamieson, A. Talwalkar, AISTATS 2016). What is best is said by non-dominated sorting and crowding
(NSGA-II: K. Deb et al., IEEE Transactions on Evolutionary Computation 6, 2002), whose sampler of Optuna proposes the recipes.
Only train and validation rows are read; the test rows, which decide a release, are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows.dvc_state.stage_state import StageStore
from flows.execution.run_executor import SUCCEEDED, RunExecutor
from flows.parameters import run_request, yaml_edit
from flows.recipe_search import space, trial
from flows.recipe_search.trial import TrialResult
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tasks import dask_cluster
from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_json, write_json

if TYPE_CHECKING:
    from optuna import Study

    from tasks.core.settings import Contract

VERBS = ("fetch", "clean", "augment", "train")
"""The stages whose artifacts a search reads. Stages that read the test split come later."""
GENERATION = 9
"""Recipes that compete for the next rung."""
EFFORTS = (1 / 9, 1 / 3, 1.0)
"""The share of a recipe's epochs on each rung; a third of the recipes rises."""
OnTrial = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe and what it gave with all of its effort."""

    recipe: list[dict[str, Any]]
    result: TrialResult

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Drop of the first metric, milliseconds at batch 1, bytes: less is better."""
        return (self.result.drop, self.result.ms, float(self.result.bytes))


@contextmanager
def open_study(root: Path, use_case: str) -> Iterator[Study]:
    """The use case's study of recipes in the project's SQLite file; created if there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = root / ".bonsai" / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'studies.db'}")
    seed = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).training.seed
    study = optuna.create_study(
        storage=storage,
        study_name=f"{use_case} recipes",
        directions=["minimize"] * 3,
        sampler=optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=seed),
        load_if_exists=True,
    )
    try:
        yield study
    finally:
        storage.engine.dispose()


def search(root: Path, use_case: str, budget_s: float, *, study: Study, on_trial: OnTrial = lambda line: None) -> list[Tried]:
    """Try generations of recipes until `budget_s` seconds are over; returns all that were tried with all of their effort.

    What an earlier search tried on the same dense model is read, not repeated. `on_trial` is called with a line about each trial.
    Raises `UserError` when the dense model cannot be made.
    """
    from optuna.trial import TrialState

    deadline = time.monotonic() + budget_s
    workspace = dense_workspace(root, use_case)
    for interrupted in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(interrupted.number, state=TrialState.FAIL)
        study.enqueue_trial(interrupted.params)
    results = workspace / "recipes"
    with dask_cluster.dask_client(GENERATION) as client:
        while time.monotonic() < deadline:
            trials = [study.ask() for _ in range(GENERATION)]
            recipes = [space.suggest(each, use_case) for each in trials]
            outcomes: dict[int, TrialResult] = {}
            rising = list(range(len(trials)))
            for effort in EFFORTS:
                futures = {}
                for place in rising:
                    path = results / f"{hash_json([recipes[place], effort])[:16]}.json"
                    futures[place] = client.submit(
                        trial.run, str(workspace), use_case, recipes[place], effort, str(path), pure=False
                    )
                measured = {
                    place: future.result() for place, future in futures.items() if time.monotonic() < deadline or outcomes
                }
                for place, result in measured.items():
                    on_trial(describe(recipes[place], result, effort))
                outcomes |= measured
                able = [place for place in measured if not measured[place].error]
                rising = best_of(able, {place: measured[place] for place in able}, max(1, len(able) // 3))
                if not rising or time.monotonic() >= deadline:
                    break
            for place, proposed in enumerate(trials):
                outcome = outcomes.get(place)
                if outcome is None or outcome.error:
                    study.tell(proposed, state=TrialState.FAIL)
                else:
                    study.tell(proposed, [outcome.drop, outcome.ms, float(outcome.bytes)])
    return read_tried(results)


def dense_workspace(root: Path, use_case: str) -> Path:
    """A workspace with the artifacts up to the trained dense model, made or read from the cache; not those of the test rows."""
    request = run_request.build_request(root, [use_case], ["dense"])
    folder = root / ".bonsai" / "recipes" / f"{use_case}-{request.hash[:12]}"
    if not (folder / "dvc.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        create_workspace(root, folder, request)
    run = run_record.Run(folder, {"state": "Running", "use_cases": [use_case], "overrides": {}, "stages": {}})
    with chdir(folder), StageStore(folder) as store:
        executor = RunExecutor(root, run, store)
        for name in [name for name, stage in store.stages.items() if stage.verb in VERBS]:
            result = executor.execute(name)
            if result.state not in SUCCEEDED:
                raise UserError(f"{name}: {result.text}")
    return folder


def read_tried(results: Path) -> list[Tried]:
    """Everything that was tried with all of its effort, on this dense model."""
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    return [
        Tried(entry["recipe"], TrialResult(**entry["result"]))
        for entry in entries
        if entry["effort"] == EFFORTS[-1] and not entry["result"].get("error")
    ]


def best_of(places: Sequence[int], results: Mapping[int, TrialResult], count: int) -> list[int]:
    """The `count` best of some trials: front by front, within a front the cheapest by bytes times milliseconds."""
    remaining, chosen = list(places), list[int]()
    while remaining and len(chosen) < count:
        points = {place: (results[place].drop, results[place].ms, float(results[place].bytes)) for place in remaining}
        level = [place for place in remaining if not any(dominates(points[other], points[place]) for other in remaining)]
        level.sort(key=lambda place: (results[place].bytes * results[place].ms, place))
        chosen += level[: count - len(chosen)]
        remaining = [place for place in remaining if place not in level]
    return chosen


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is nowhere more than `other`, and somewhere less."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def front(tried: Sequence[Tried]) -> list[Tried]:
    """Those that no other one dominates, the smallest file first."""
    kept = [one for one in tried if not any(dominates(other.objectives, one.objectives) for other in tried)]
    return sorted(kept, key=lambda one: (one.result.bytes, one.result.ms))


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that points dominate below `reference`, in as many dimensions as it has (Zitzler, Thiele 1999)."""
    import numpy as np
    from optuna._hypervolume import compute_hypervolume

    inside = [point for point in points if all(a < b for a, b in zip(point, reference, strict=True))]
    return float(compute_hypervolume(np.asarray(inside, float), np.asarray(reference, float))) if inside else 0.0


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


def write_recipe(root: Path, name: str, recipe: list[dict[str, Any]]) -> None:
    """Write a recipe to params.yaml. Raises `UserError` for the name of the dense recipe."""
    if name == "dense":
        raise UserError("'dense' is the recipe that all others are compared with; take another name, such as searched")
    yaml_edit.set_values(root / "params.yaml", {f"recipes.{name}": recipe})


def steps_text(recipe: list[dict[str, Any]]) -> str:
    """The recipe as one line of YAML."""
    return yaml.safe_dump(recipe, default_flow_style=True, width=10_000, sort_keys=False).strip()


def describe(recipe: list[dict[str, Any]], result: TrialResult, effort: float) -> str:
    """A line on one trial."""
    steps = steps_text(recipe)
    if result.error:
        return f"failed: {result.error}; {steps}"
    return (
        f"effort {effort:.2f}: drop {result.drop:+.4f} ({result.drop_low:+.4f}..{result.drop_high:+.4f}), "
        f"{result.bytes:,} bytes, "
        f"{result.speedup:.1f}x dense ({result.speedup_low:.1f}..{result.speedup_high:.1f}); {steps}"
    )


def save_front(root: Path, use_case: str, tried: Sequence[Tried]) -> Path:
    """Write the front as JSON; returns the file."""
    path = root / ".bonsai" / "recipes" / f"{use_case}-front.json"
    write_json(path, [{"recipe": one.recipe, **asdict(one.result)} for one in front(tried)])
    return path
