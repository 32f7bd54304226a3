"""Look for better parameters: trials play fetch to train on other numbers and are judged by validation rows, never by test rows.

The study is a SQLite file, so a search that was ended goes on where it was; trials are tasks of a Dask cluster, each in a
workspace of its own on the shared cache; those whose curve falls behind the others' are ended early.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.utils.serialize import load_yaml, loads_yaml

from flows.dvc_state.stage_state import StageStore, working_directory
from flows.execution.run_executor import GOOD, RunExecutor
from flows.execution.stage_process import Event, EventFollower
from flows.parameters import run_request, yaml_edit
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tasks import dask_cluster
from tasks.core import params_file
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

VERBS = ("fetch", "clean", "augment", "train")
"""The stages of a trial. What reads the test split comes later in the score."""
POLL_S = 0.3
STOP = "stop"
"""A file of that name in a trial's folder ends the trial."""
ALONE = threading.Lock()
"""A trial makes its folder the current one, of which a process has one."""
Heard = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tried for one parameter: numbers from low to high, on a logarithmic scale or not, or one of some values."""

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


def understand(text: str) -> Space:
    """`training.learning_rate=0.001..0.1` (logarithmic where the ends are ten times apart) or `training.optimizer=adamw,muon`."""
    name, equals, values = (part.strip() for part in text.partition("="))
    if equals and ".." in values:
        low, high = (loads_yaml(end) for end in values.split("..", 1))
        if all(isinstance(end, int | float) for end in (low, high)) and low < high:
            return Space(name, low, high, log=low > 0 and high / low >= 10)
    elif equals and len(choices := tuple(loads_yaml(f"[{values}]"))) > 1:
        return Space(name, choices=choices)
    raise UserError(f"--over {text!r} is no space; write training.learning_rate=0.001..0.1 or training.optimizer=adamw,muon")


def usual(root: Path, use_case: str) -> list[Space]:
    """What is tried when nothing is said: learning rate and weight decay around what they are."""
    training = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).training
    around = {"training.learning_rate": training.learning_rate, "training.weight_decay": training.weight_decay}
    return [Space(name, value / 10, value * 10, log=True) for name, value in around.items() if value > 0]


@contextmanager
def opened(root: Path, use_case: str, name: str = "") -> Iterator[Study]:
    """The study of that name, made if there is none; on the project's disk."""
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
    root: Path, use_case: str, spaces: list[Space], trials: int, *, study: Study, heard: Heard = lambda line: None
) -> None:
    """Bring the study to `trials` trials that ended, as many at a time as there are slots; what a kill left undone first."""
    from optuna.trial import TrialState

    _check(root, use_case, spaces)
    for left in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(left.number, state=TrialState.FAIL)
        study.enqueue_trial(left.params)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    wanted = trials - len(study.get_trials(deepcopy=False, states=ended))
    if wanted <= 0:
        return
    home = root / ".bonsai" / "tuning" / study.study_name
    with dask_cluster.dask_client(wanted) as client:
        slots = max(1, len(client.nthreads()))
        working: list[_Working] = []
        while wanted or working:
            while wanted and len(working) < slots:
                trial = study.ask({space.name: space.distribution() for space in spaces})
                folder = home / f"trial-{trial.number:05}"
                future = client.submit(play_trial, str(root), use_case, str(folder), dict(trial.params), pure=False)
                working.append(_Working(trial, folder, future, EventFollower(folder / "journal" / f"train@{use_case}.jsonl")))
                wanted -= 1
            time.sleep(POLL_S)
            for each in working:
                each.follow()
            for each in [each for each in working if each.future.done()]:
                working.remove(each)
                heard(each.conclude(study))


def play_trial(root: str, use_case: str, folder: str, values: Mapping[str, Any]) -> tuple[float, str]:
    """In a Dask worker: play fetch to train with these parameters in a folder of its own.

    Gives the validation figure of the epoch that was kept, and what went wrong, if anything. Record, parameters and journals
    of the trial stay in its folder; its artifacts are the cache's.
    """
    with ALONE:
        return _played(Path(root), use_case, Path(folder), values)


def _played(home: Path, use_case: str, place: Path, values: Mapping[str, Any]) -> tuple[float, str]:
    shutil.rmtree(place, ignore_errors=True)
    asked = run_request.build_request(home, [use_case], ["dense"], values)
    place.mkdir(parents=True)
    run = run_record.Run(place, {"state": "Running", "use_cases": [use_case], "overrides": asked.overrides, "stages": {}})
    create_workspace(home, place, asked)
    with working_directory(place), StageStore(place) as ledger:
        concert = RunExecutor(home, run, ledger)

        def stop_if_told(event: Event) -> None:
            if (place / STOP).exists():
                concert.stop.set()

        for name in [name for name, stage in ledger.stages.items() if stage.verb in VERBS]:
            ending = concert.perform(name, stop_if_told)
            if ending.state not in GOOD:
                return math.nan, ending.text
        found = kept_value(place / "data" / use_case / "model")
    shutil.rmtree(place / "data")
    return found, ""


def kept_value(model: Path) -> float:
    """The first validation measure of the epoch whose weights were kept."""
    best = int(json.loads((model / "report.json").read_text(encoding="utf-8"))["best_epoch"])
    point = json.loads((model / "curves.json").read_text(encoding="utf-8"))[best - 1]
    return first_measure(point)


def first_measure(point: Mapping[str, float]) -> float:
    """What decides on validation rows: the use case's first score."""
    names = [name for name in point if name.startswith("validation_") and name != "validation_loss"]
    return float(point[names[0]])


def best(study: Study) -> tuple[dict[str, Any], float] | None:
    """Parameters and figure of the best trial so far, None when none was completed."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        return None
    return dict(study.best_trial.params), float(study.best_value)


def write(root: Path, use_case: str, found: Mapping[str, Any]) -> None:
    """Put parameters of a trial into params.yaml, and nothing else of it."""
    yaml_edit.set_values(root / "params.yaml", {_full(root, use_case, name): value for name, value in found.items()})


@dataclass(slots=True)
class _Working:
    """A trial at work, seen from here: its folder is followed, its study told."""

    trial: Trial
    folder: Path
    future: Any
    ear: EventFollower
    pruned: bool = False

    def follow(self) -> None:
        """Report what its curve says; end it when it falls behind."""

        def heard(event: Event) -> None:
            if event["event"] == "metric" and not self.pruned:
                values = {name: value for name, value in event["values"].items() if value is not None}
                if any(name.startswith("validation_") and name != "validation_loss" for name in values):
                    self.trial.report(first_measure(values), int(event["step"]))
                    if self.trial.should_prune():
                        self.pruned = True
                        (self.folder / STOP).touch()

        self.ear.listen(heard)

    def conclude(self, study: Study) -> str:
        """Tell the study how it ended, and say it in a line."""
        from optuna.trial import TrialState

        self.follow()
        what = " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in self.trial.params.items()
        )
        try:
            value, error = self.future.result()
        except UserError as mistake:
            value, error = math.nan, str(mistake)
        if not error and math.isfinite(value):
            study.tell(self.trial, value)
            return f"trial {self.trial.number}: {value:.4f} with {what}"
        if self.pruned:
            study.tell(self.trial, state=TrialState.PRUNED)
            return f"trial {self.trial.number}: ended early with {what}"
        study.tell(self.trial, state=TrialState.FAIL)
        return f"trial {self.trial.number}: failed with {what}: {error or 'no finite figure'}"


def _check(root: Path, use_case: str, spaces: list[Space]) -> None:
    """Refuse a space whose ends or choices the use case would refuse, or that no train stage reads."""
    if not spaces:
        raise UserError("there is nothing to try; name a parameter, such as --over training.learning_rate=0.001..0.1")
    for space in spaces:
        for value in space.choices or (space.low, space.high):
            run_request.build_request(root, [use_case], ["dense"], {space.name: value})


def _full(root: Path, use_case: str, name: str) -> str:
    """A parameter's name from the top of params.yaml."""
    return name if name.partition(".")[0] in load_yaml(str(root / "params.yaml")) else f"use_cases.{use_case}.{name}"
