"""The context of a stage: its use case, recipe and event log, and the folders of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.artifacts import Artifact
from tasks.core.compression import Step
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from tasks.core.event_log import EventLog


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """What one stage of one use case reads and writes, and of one recipe if the stage takes one."""

    name: str
    case: UseCase
    event_log: EventLog
    recipe_name: str = ""
    recipe: tuple[Step, ...] = ()
    recipe_names: tuple[str, ...] = ()
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
        return Artifact(self.data / "model")

    @property
    def baselines(self) -> Artifact:
        return Artifact(self.data / "baselines")

    def compressed(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "compressed" / recipe_name)

    def evaluation(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "evaluations" / recipe_name)

    @property
    def release(self) -> Artifact:
        return Artifact(self.data / "release")

    @property
    def scratch(self) -> Path:
        """A folder outside the outputs that a killed stage keeps. The stage removes it when it finishes."""
        path = self.root / ".bonsai" / "scratch" / self.event_log.stage
        path.mkdir(parents=True, exist_ok=True)
        return path


def stage_name(stage: str, name: str, recipe_name: str = "") -> str:
    """The name of a stage in DVC: `train@vision`, `compress@vision-int8`."""
    return f"{stage}@{name}-{recipe_name}" if recipe_name else f"{stage}@{name}"


def event_log_path(root: Path, stage: str, rank: int = 0) -> Path:
    """The path of a stage's event log. In distributed training, readers follow the one of rank 0."""
    return root / ".bonsai" / "ranks" / f"{stage}.{rank}.jsonl" if rank else root / "journal" / f"{stage}.jsonl"
