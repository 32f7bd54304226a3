"""What a stage is given: its use case, its settings, its event log, and where its artifacts lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.compression import Step
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from tasks.core.event_log import EventLog
from tasks.core.artifacts import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """Everything one stage of one use case, and one recipe if it has one, reads and writes."""

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

    def compressed(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "compressed" / recipe_name)

    def evaluation(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "evaluations" / recipe_name)

    @property
    def release(self) -> Artifact:
        return Artifact(self.data / "release")

    @property
    def scratch(self) -> Path:
        """A folder outside the outputs that outlives a killed stage; the stage removes it when it is done."""
        path = self.root / ".bonsai" / "scratch" / self.event_log.stage
        path.mkdir(parents=True, exist_ok=True)
        return path


def stage_name(stage: str, name: str, recipe_name: str = "") -> str:
    """A stage as DVC names it: `train@vision`, `compress@vision-int8`."""
    return f"{stage}@{name}-{recipe_name}" if recipe_name else f"{stage}@{name}"


def event_log_path(root: Path, stage: str, rank: int = 0) -> Path:
    """Where the stage of that name keeps its journal; of several processes at it, only the first one's is for readers."""
    return root / ".bonsai" / "ranks" / f"{stage}.{rank}.jsonl" if rank else root / "journal" / f"{stage}.jsonl"
