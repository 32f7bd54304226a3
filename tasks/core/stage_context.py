"""The context of a stage: its use case, recipe, seed and event log, and the folders of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.compression import Step
from tasks.core.storage.artifacts import Artifact
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog

SEED_SUFFIX = "_seed"
"""The end of the name of a stage that repeats another with an additional seed: `train_seed`."""
SEEDS_FOLDER = "seeds"
"""The folder of additional seeds, also inside `compressed/` and `evaluations/`, which release reads. No recipe has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """What one stage of one use case reads and writes, and of one recipe and one additional seed if the stage takes them."""

    name: str
    case: UseCase
    event_log: EventLog
    recipe_name: str = ""
    recipe: tuple[Step, ...] = ()
    recipe_names: tuple[str, ...] = ()
    seed: int | None = None
    """The additional seed whose artifacts are meant; None for those of `training.seed`."""
    seeds: tuple[int, ...] = ()
    """All additional seeds of the run."""
    root: Path = Path()

    @property
    def data(self) -> Path:
        return self.root / "data" / self.name

    @property
    def raw(self) -> Artifact:
        return Artifact(self.data / "raw")

    @property
    def clean(self) -> Artifact:
        return Artifact(self.data / "clean")

    @property
    def augmented(self) -> Artifact:
        return Artifact(self.data / "augmented")

    @property
    def model(self) -> Artifact:
        return Artifact(self.data / "model" if self.seed is None else self.data / SEEDS_FOLDER / str(self.seed) / "model")

    @property
    def baselines(self) -> Artifact:
        return Artifact(self.data / "baselines")

    @property
    def latency(self) -> Artifact:
        """The timings of all models, those of additional seeds included."""
        return Artifact(self.data / "latency")

    def timings(self) -> dict[str, Any]:
        """The latency.json of the seed."""
        folder = "" if self.seed is None else f"{SEEDS_FOLDER}/{self.seed}/"
        report: dict[str, Any] = self.latency.json(f"{folder}latency.json")
        return report

    def compressed(self, recipe_name: str) -> Artifact:
        return Artifact(self._of_seed("compressed") / recipe_name)

    def evaluation(self, recipe_name: str) -> Artifact:
        return Artifact(self._of_seed("evaluations") / recipe_name)

    def of_seed(self, seed: int | None) -> StageContext:
        """The same stage for an additional seed, or for `training.seed` if `seed` is None. The use case stays as it is."""
        return replace(self, seed=seed)

    def _of_seed(self, folder: str) -> Path:
        path = self.data / folder
        return path if self.seed is None else path / SEEDS_FOLDER / str(self.seed)

    @property
    def release(self) -> Artifact:
        return Artifact(self.data / "release")

    @property
    def scratch(self) -> Path:
        """A folder outside the outputs that a killed stage keeps. The stage removes it when it finishes."""
        path = self.root / ".bonsai" / "scratch" / self.event_log.stage
        path.mkdir(parents=True, exist_ok=True)
        return path


def stage_name(stage: str, name: str, recipe_name: str = "", seed: int | None = None) -> str:
    """The name of a stage in DVC: `train@vision`, `compress@vision-int8`, `compress_seed@vision-int8-8`."""
    return f"{stage}@" + "-".join([name, *filter(None, [recipe_name]), *([] if seed is None else [str(seed)])])


def event_log_path(root: Path, stage: str, rank: int = 0) -> Path:
    """The path of a stage's event log. In distributed training, readers follow the one of rank 0."""
    return root / ".bonsai" / "ranks" / f"{stage}.{rank}.jsonl" if rank else root / "journal" / f"{stage}.jsonl"
