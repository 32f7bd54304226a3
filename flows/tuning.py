"""Tune hyperparameters: each trial runs fetch to train with other parameters and is scored on the validation split only.

The study is stored in SQLite, so an interrupted search can be resumed. Trials are tasks of a Dask cluster, each in its own
workspace on the shared cache. A trial whose validation curve falls behind the median of the others is pruned.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.utils.serialize import loads_yaml

from flows.dvc_state.stage_state import StageStore
from flows.execution.run_executor import SUCCEEDED, RunExecutor
from flows.parameters import params_edits, run_request
from flows.runs import run_record
from flows.runs.event_follower import Event, EventFollower
from flows.runs.workspace import create_workspace
from tasks import dask_cluster
from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_json

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

VERBS = ("fetch", "clean", "augment", "train")
"""The stages of a trial. Stages that read the test split come later."""
POLL_S = 0.3
REPORT_FILE = "study.json"
MIN_TRIALS = 4
"""Completed trials from which importances are computed."""
STOP_FILE = "stop"
"""A file of that name in a trial's folder ends the trial."""
WORKING_DIRECTORY_LOCK = threading.Lock()
"""A trial changes the current directory, which all threads of a process share."""
OnTrial = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The values to try for one parameter: a range, on a linear or logarithmic scale, or a list of choices."""

    name: str
    low: float | int = 0
    high: float | int = 0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def distribution(self) -> BaseDistribution:
        from optuna import distributions

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return distributions.IntDistribution(self.low, self.high, log=self.log)
        return distributions.FloatDistribution(float(self.low), float(self.high), log=self.log)


def parse_space(text: str) -> SearchSpace:
    """Parse `training.learning_rate=0.001..0.1` or `training.optimizer=adamw,muon`.

    A positive range whose ends differ by a factor of at least ten is logarithmic.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if equals and ".." in values:
        low, high = (loads_yaml(end) for end in values.split("..", 1))
        if all(isinstance(end, int | float) for end in (low, high)) and low < high:
            return SearchSpace(name, low, high, log=low > 0 and high / low >= 10)
    elif equals and len(choices := tuple(loads_yaml(f"[{values}]"))) > 1:
        return SearchSpace(name, choices=choices)
    raise UserError(f"--over {text!r} is no space; write training.learning_rate=0.001..0.1 or training.optimizer=adamw,muon")


def default_spaces(root: Path, use_case: str) -> list[SearchSpace]:
    """Learning rate and weight decay from a tenth to ten times their values in params.yaml."""
    training = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).training
    defaults = {"training.learning_rate": training.learning_rate, "training.weight_decay": training.weight_decay}
    return [SearchSpace(name, value / 10, value * 10, log=True) for name, value in defaults.items() if value > 0]


@contextmanager
def open_study(root: Path, use_case: str, name: str = "") -> Iterator[Study]:
    """The study of that name (the use case's by default) in the project's SQLite file; created if there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    case = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml"))
    (root / ".bonsai" / "tuning").mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{root / '.bonsai' / 'tuning' / 'studies.db'}")
    study = optuna.create_study(
        storage=storage,
        study_name=name or use_case,
        direction="maximize" if case.problem.higher_is_better else "minimize",
        sampler=optuna.samplers.TPESampler(seed=case.training.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
        load_if_exists=True,
    )
    try:
        yield study
    finally:
        storage.engine.dispose()


def search(
    root: Path, use_case: str, spaces: list[SearchSpace], trials: int, *, study: Study, on_trial: OnTrial = lambda line: None
) -> None:
    """Run trials, as many at a time as there are slots, until `trials` of the study have ended.

    Trials that a kill interrupted are repeated first. `on_trial` is called with a line about each trial that ends.
    """
    from optuna.trial import TrialState

    _check(root, use_case, spaces)
    for interrupted in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(interrupted.number, state=TrialState.FAIL)
        study.enqueue_trial(interrupted.params)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    remaining = trials - len(study.get_trials(deepcopy=False, states=ended))
    if remaining <= 0:
        return
    study_folder = root / ".bonsai" / "tuning" / study.study_name
    save_report(study_folder, study)
    with dask_cluster.dask_client(remaining) as client:
        slots = max(1, len(client.nthreads()))
        running: list[_RunningTrial] = []
        while remaining or running:
            while remaining and len(running) < slots:
                trial = study.ask({space.name: space.distribution() for space in spaces})
                folder = study_folder / f"trial-{trial.number:05}"
                future = client.submit(run_trial, str(root), use_case, str(folder), dict(trial.params), pure=False)
                event_log = EventFollower(folder / "journal" / f"train@{use_case}.jsonl")
                running.append(_RunningTrial(trial, folder, future, event_log))
                remaining -= 1
            time.sleep(POLL_S)
            for each in running:
                each.report_metrics()
            for each in [each for each in running if each.future.done()]:
                running.remove(each)
                on_trial(each.finish(study))
                save_report(study_folder, study)


def run_trial(root: str, use_case: str, folder: str, values: Mapping[str, Any]) -> tuple[float, str]:
    """Run fetch to train with these parameters in the trial's folder; called in a Dask worker.

    Returns the validation metric of the best epoch (NaN on failure) and an error message (empty on success). The trial's
    record, parameters and event logs stay in its folder; its artifacts stay in the cache only.
    """
    with WORKING_DIRECTORY_LOCK:
        return _run_trial(Path(root), use_case, Path(folder), values)


def _run_trial(root: Path, use_case: str, folder: Path, values: Mapping[str, Any]) -> tuple[float, str]:
    shutil.rmtree(folder, ignore_errors=True)
    request = run_request.build_request(root, [use_case], ["dense"], values)
    folder.mkdir(parents=True)
    run = run_record.Run(folder, {"state": "Running", "use_cases": [use_case], "overrides": request.overrides, "stages": {}})
    create_workspace(root, folder, request)
    with chdir(folder), StageStore(folder) as store:
        executor = RunExecutor(root, run, store)

        def stop_on_request(event: Event) -> None:
            if (folder / STOP_FILE).exists():
                executor.stop.set()

        for name in [name for name, stage in store.stages.items() if stage.verb in VERBS]:
            result = executor.execute(name, stop_on_request)
            if result.state not in SUCCEEDED:
                return math.nan, result.text
        value = best_epoch_metric(folder / "data" / use_case / "model")
    shutil.rmtree(folder / "data")
    return value, ""


def best_epoch_metric(model: Path) -> float:
    """The primary validation metric of the epoch whose weights were kept."""
    best_epoch = int(json.loads((model / "report.json").read_text(encoding="utf-8"))["best_epoch"])
    point = json.loads((model / "curves.json").read_text(encoding="utf-8"))[best_epoch - 1]
    return primary_metric(point)


def primary_metric(point: Mapping[str, float]) -> float:
    """The use case's first metric on the validation split, in one point of the curves."""
    names = [name for name in point if name.startswith("validation_") and name != "validation_loss"]
    return float(point[names[0]])


def best(study: Study) -> tuple[dict[str, Any], float] | None:
    """The best trial's parameters and metric so far, None when no trial was completed."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        return None
    return dict(study.best_trial.params), float(study.best_value)


def save_report(folder: Path, study: Study) -> None:
    """Write direction, trials and importances of the study to `study.json` in its folder, for readers that do not load Optuna."""
    trials = [
        {
            "number": each.number,
            "state": each.state.name.lower(),
            "value": each.value if each.value is not None and math.isfinite(each.value) else None,
            "params": each.params,
            "seconds": each.duration.total_seconds() if each.duration else None,
        }
        for each in study.get_trials(deepcopy=False)
    ]
    content = {"direction": study.direction.name.lower(), "trials": trials, "importances": importances(study)}
    write_json(folder / REPORT_FILE, content)


def importances(study: Study, objective: int = 0) -> dict[str, float]:
    """The share of the variance of an objective that each parameter explains, the largest first; empty while too little is known.

    Parameters that not every completed trial has are left out. Functional ANOVA on a random forest of the completed trials:
    F. Hutter, H. Hoos, K. Leyton-Brown, ICML 2014.
    """
    import optuna
    from optuna.trial import TrialState

    completed = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    names = set.intersection(*(set(each.params) for each in completed)) if completed else set()
    varied = [name for name in names if len({json.dumps(each.params[name]) for each in completed}) > 1]
    if len(completed) < MIN_TRIALS or len({each.values[objective] for each in completed}) < 2 or not varied:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(
        study, evaluator=evaluator, params=sorted(varied), target=lambda trial: trial.values[objective]
    )
    return {name: float(share) for name, share in shares.items()}


def write_params(root: Path, use_case: str, values: Mapping[str, Any]) -> None:
    """Write a trial's parameters to params.yaml."""
    params_edits.write(root, params_edits.with_settings(root, use_case, values))


@dataclass(slots=True)
class _RunningTrial:
    """A running trial: its event log is followed, and its metrics are reported to the study."""

    trial: Trial
    folder: Path
    future: Any
    event_log: EventFollower
    pruned: bool = False

    def report_metrics(self) -> None:
        """Report the new points of its validation curve to the study, and stop the trial if it is to be pruned."""
        for event in self.event_log.poll():
            if event["event"] == "metric" and not self.pruned:
                values = {name: value for name, value in event["values"].items() if value is not None}
                if any(name.startswith("validation_") and name != "validation_loss" for name in values):
                    self.trial.report(primary_metric(values), int(event["step"]))
                    if self.trial.should_prune():
                        self.pruned = True
                        (self.folder / STOP_FILE).touch()

    def finish(self, study: Study) -> str:
        """Record the trial's result in the study; returns a line about it."""
        from optuna.trial import TrialState

        self.report_metrics()
        parameters = " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in self.trial.params.items()
        )
        try:
            value, error = self.future.result()
        except UserError as user_error:
            value, error = math.nan, str(user_error)
        if not error and math.isfinite(value):
            study.tell(self.trial, value)
            return f"trial {self.trial.number}: {value:.4f} with {parameters}"
        if self.pruned:
            study.tell(self.trial, state=TrialState.PRUNED)
            return f"trial {self.trial.number}: ended early with {parameters}"
        study.tell(self.trial, state=TrialState.FAIL)
        return f"trial {self.trial.number}: failed with {parameters}: {error or 'its metric is not finite'}"


def _check(root: Path, use_case: str, spaces: list[SearchSpace]) -> None:
    """Raise `UserError` for a space whose ends or choices the use case refuses, or that no train stage reads."""
    if not spaces:
        raise UserError("there is nothing to try; name a parameter, such as --over training.learning_rate=0.001..0.1")
    for space in spaces:
        for value in space.choices or (space.low, space.high):
            run_request.build_request(root, [use_case], ["dense"], {space.name: value})
