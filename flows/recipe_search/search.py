"""Search recipes: students, pruning, bits and number formats, for the front of accuracy, latency and bytes.

A generation of recipes is tried with a ninth of the effort, the best third of it with a third, and the best of those with all of
it (successive halving: K. Jamieson, A. Talwalkar, AISTATS 2016). The best are those of the first fronts of non-dominated sorting
(NSGA-II: K. Deb et al., IEEE Transactions on Evolutionary Computation 6, 2002), whose sampler of Optuna proposes the recipes.
Only train and validation rows are read; the test rows, which decide a release, are not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flows import tuning
from flows.dvc_state.stage_state import StageStore
from flows.execution.run_executor import SUCCEEDED, RunExecutor
from flows.parameters import yaml_edit
from flows.recipe_search import space, trial, trial_results
from flows.recipe_search.trial import TrialResult
from flows.recipe_search.trial_results import FULL_EFFORT, Tried, dominates, front, read_tried, steps_text
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tasks import dask_cluster
from tasks.core import params_file
from tasks.core.compression import DENSE
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_json, write_json

if TYPE_CHECKING:
    from distributed import Client
    from optuna import Study, Trial

    from flows.reporting.console import RunDisplay

VERBS = ("fetch", "clean", "augment", "train")
"""The stages whose artifacts a search reads. Stages that read the test split come later."""
GENERATION = 9
"""Recipes that compete for the next rung."""
PROPOSALS = 4 * GENERATION
"""The most proposals of which a generation is made."""
EFFORTS = (1 / 9, 1 / 3, FULL_EFFORT)
"""The share of a recipe's epochs on each rung; a third of the recipes rises."""
MAX_DROP_FACTOR = 5.0
"""A recipe that loses this many times what the contract allows, with some of its epochs, hardly keeps it with all of them."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a search works."""

    folder: Path
    """A workspace with the artifacts up to the trained dense model."""
    results: Path
    """The folder of what was measured with this dense model, these rows and this code; another one has another folder."""
    max_drop: float = inf
    """The drop that the contract allows."""


class SearchDisplay(Protocol):
    """Receives the progress of a search."""

    def rung(self, recipes: int, effort: float) -> None:
        """So many recipes are tried with a share `effort` of their epochs."""

    def trial(self, done: int, recipes: int, line: str) -> None:
        """A line about the trial that ended as number `done`, from 1, of its rung."""


@contextmanager
def open_study(root: Path, use_case: str, workplace: Workplace) -> Iterator[Study]:
    """The study of recipes for this dense model in the project's SQLite file; created if there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = root / ".bonsai" / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'studies.db'}")
    seed = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).training.seed
    study = optuna.create_study(
        storage=storage,
        study_name=f"recipes {workplace.results.name}",
        directions=["minimize"] * 3,
        sampler=optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=seed),
        load_if_exists=True,
    )
    try:
        yield study
    finally:
        storage.engine.dispose()


def search(workplace: Workplace, use_case: str, budget_s: float, *, study: Study, show: SearchDisplay) -> list[Tried]:
    """Try generations of recipes until `budget_s` seconds are over; returns all that were tried with all of their effort.

    A generation that was not finished, by the end of the time or of the process, is gone on with by the next search. What an
    earlier search measured on the same dense model is read, not repeated.
    """
    from optuna.trial import TrialState

    deadline = time.monotonic() + budget_s
    for interrupted in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(interrupted.number, state=TrialState.FAIL)
        study.enqueue_trial(interrupted.params)
    for start in space.STARTS if not study.get_trials(deepcopy=False) else ():
        study.enqueue_trial(start)
    with dask_cluster.dask_client(GENERATION) as client:
        while time.monotonic() < deadline:
            trials, recipes = _propose(study, use_case)
            outcomes = _generation(client, workplace, use_case, recipes, deadline, show)
            if outcomes is None:
                break  # its trials stay open in the study
            for proposed, outcome in zip(trials, outcomes, strict=True):
                if outcome.error:
                    study.tell(proposed, state=TrialState.FAIL)
                else:
                    study.tell(proposed, [outcome.drop, outcome.ms, float(outcome.bytes)])
            save_importances(workplace, study)
    return read_tried(workplace.results)


def _propose(study: Study, use_case: str) -> tuple[list[Trial], list[list[dict[str, Any]]]]:
    """The trials of a generation and their recipes, which differ: of two equal proposals the second is dropped, for a while."""
    from optuna.trial import TrialState

    trials: list[Trial] = []
    recipes: list[list[dict[str, Any]]] = []
    for number in range(PROPOSALS):
        proposed = study.ask()
        recipe = space.suggest(proposed, use_case)
        if recipe in recipes and PROPOSALS - number > GENERATION - len(trials):
            study.tell(proposed, state=TrialState.FAIL)
            continue
        trials.append(proposed)
        recipes.append(recipe)
        if len(trials) == GENERATION:
            break
    return trials, recipes


def _generation(
    client: Client,
    workplace: Workplace,
    use_case: str,
    recipes: Sequence[list[dict[str, Any]]],
    deadline: float,
    show: SearchDisplay,
) -> list[TrialResult] | None:
    """The result of each recipe on its highest rung; None where the time was over before."""
    outcomes: dict[int, TrialResult] = {}
    rising = list(range(len(recipes)))
    for effort in EFFORTS:
        show.rung(len(rising), effort)
        futures = {}
        for place in rising:
            path = workplace.results / f"{hash_json([recipes[place], effort])[:16]}.json"
            futures[place] = client.submit(
                trial.run, str(workplace.folder), use_case, recipes[place], effort, str(path), pure=False
            )
        measured: dict[int, TrialResult] = {}
        while len(measured) < len(futures):
            for place in [place for place, future in futures.items() if place not in measured and future.done()]:
                measured[place] = futures[place].result()
                show.trial(len(measured), len(futures), describe(recipes[place], measured[place]))
            if len(measured) < len(futures):
                if time.monotonic() >= deadline:
                    return None
                time.sleep(POLL_S)
        outcomes |= measured
        able = [place for place in measured if not measured[place].error]
        rising = best_of(able, measured, max(1, len(able) // 3), workplace.max_drop)
        if not rising:
            break
        if effort != EFFORTS[-1] and time.monotonic() >= deadline:
            return None
    return [outcomes[place] for place in range(len(recipes))]


def prepare(root: Path, use_case: str, show: RunDisplay) -> Workplace:
    """Make the artifacts up to the trained dense model, or read them from the cache; not those of the test rows.

    Raises `UserError` when one of them cannot be made.
    """
    request, settings = trial_results.request(root, use_case)
    recipes = root / trial_results.FOLDER
    folder = recipes / f"{use_case}-{settings}"
    shutil.rmtree(folder, ignore_errors=True)  # its code may be of another day; what it made is in the cache
    folder.mkdir(parents=True)
    create_workspace(root, folder, request)
    run = run_record.Run(folder, {"state": "Running", "use_cases": [use_case], "overrides": {}, "stages": {}})
    with chdir(folder), StageStore(folder) as store:
        executor = RunExecutor(root, run, store, show)
        for name in [name for name, stage in store.stages.items() if stage.verb in VERBS]:
            result = executor.execute(name)
            if result.state not in SUCCEEDED:
                raise UserError(f"{name}: {result.text}")
        compress = next(name for name, stage in store.stages.items() if stage.verb == "compress")
        digest = store.key(compress)[:12]  # of the rows, the dense model and the code that compresses it
    results = recipes / f"{use_case}-results-{digest}"
    write_json(trial_results.newest_path(root, use_case), {"settings": settings, "results": results.name})
    contract = params_file.build_use_case(use_case, params_file.read_params(folder / "params.yaml")).contract
    return Workplace(folder, results, contract.max_drop)


def best_of(places: Sequence[int], results: Mapping[int, TrialResult], count: int, max_drop: float = inf) -> list[int]:
    """The `count` best of some trials: front by front, within a front the cheapest by bytes times milliseconds.

    Those whose drop is beyond doubt more than `MAX_DROP_FACTOR` times `max_drop` come last, however small and fast they are.
    """
    beyond = [place for place in places if results[place].drop_low > MAX_DROP_FACTOR * max_drop]
    chosen = list[int]()
    for group in ([place for place in places if place not in beyond], beyond):
        remaining = group
        while remaining and len(chosen) < count:
            points = {place: (results[place].drop, results[place].ms, float(results[place].bytes)) for place in remaining}
            level = [place for place in remaining if not any(dominates(points[other], points[place]) for other in remaining)]
            level.sort(key=lambda place: (results[place].bytes * results[place].ms, place))
            chosen += level[: count - len(chosen)]
            remaining = [place for place in remaining if place not in level]
    return chosen


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that points dominate below `reference`, in as many dimensions as it has (Zitzler, Thiele 1999)."""
    import numpy as np
    from optuna._hypervolume import compute_hypervolume

    inside = [point for point in points if all(a < b for a, b in zip(point, reference, strict=True))]
    return float(compute_hypervolume(np.asarray(inside, float), np.asarray(reference, float))) if inside else 0.0


def check_name(root: Path, name: str) -> None:
    """Raise `UserError` for a name by which no recipe can be written to params.yaml, or one that a recipe has."""
    if name == DENSE:
        raise UserError("'dense' is the recipe that all others are compared with; take another name, such as searched")
    if not params_file.is_name(name) or "." in name:
        raise UserError(f"{name!r:.80} is no name of a recipe; use letters, digits, `_` and `-`, at most 64")
    if name in params_file.read_params(root / "params.yaml").recipes:
        raise UserError(f"params.yaml has a recipe {name!r}; take another name, such as {name}-2")


def write_recipe(root: Path, name: str, recipe: list[dict[str, Any]]) -> None:
    """Write a recipe to params.yaml by a name that is not taken. Raises `UserError` for any other."""
    check_name(root, name)
    yaml_edit.set_values(root / "params.yaml", {f"recipes.{name}": recipe})


def describe(recipe: list[dict[str, Any]], result: TrialResult) -> str:
    """A line on one trial."""
    steps = steps_text(recipe)
    if result.error:
        return f"failed: {result.error}; {steps}"
    return (
        f"drop {result.drop:+.4f} ({result.drop_low:+.4f}..{result.drop_high:+.4f}), "
        f"{result.bytes:,} bytes, "
        f"{result.speedup:.1f}x dense ({result.speedup_low:.1f}..{result.speedup_high:.1f}); {steps}"
    )


def save_importances(workplace: Workplace, study: Study) -> None:
    """Write what the settings of the recipes explain of each objective as JSON, from trials with any effort."""
    from optuna.trial import TrialState

    count = len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))
    shares = {name: tuning.importances(study, place) for place, name in enumerate(trial_results.OBJECTIVES)}
    write_json(trial_results.importances_path(workplace.results), {"trials": count, **shares})


def save_front(root: Path, use_case: str, tried: Sequence[Tried]) -> Path:
    """Write the front as JSON; returns the file."""
    path = root / ".bonsai" / "recipes" / f"{use_case}-front.json"
    write_json(path, [{"recipe": one.recipe, **asdict(one.result)} for one in front(tried)])
    return path
