"""What a search for hyperparameters has tried, from the report that `bonsai tune` writes after each trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from dashboard.readers import project_files
from dashboard.readers.artifact_models import parse_as


class TuningTrial(BaseModel):
    """A trial of the study."""

    model_config = ConfigDict(extra="allow", frozen=True)
    number: int
    state: str
    """`running`, `complete`, `pruned` or `fail`."""
    value: float | None = None
    """The first metric on validation rows."""
    params: dict[str, Any] = {}
    seconds: float | None = None


class StudyReport(BaseModel):
    """A study: its trials, and what its parameters explain."""

    model_config = ConfigDict(extra="allow", frozen=True)
    direction: str
    """`maximize` or `minimize`."""
    trials: list[TuningTrial] = []
    importances: dict[str, float] = {}
    """The share of the variance of the metric that each parameter explains; empty while too little is known."""

    @property
    def higher_is_better(self) -> bool:
        return self.direction == "maximize"

    @property
    def completed(self) -> list[TuningTrial]:
        return [each for each in self.trials if each.state == "complete" and each.value is not None]

    @property
    def ended(self) -> int:
        """Trials that count as tried: completed, or pruned because they fell behind."""
        return sum(each.state in ("complete", "pruned") for each in self.trials)

    @property
    def best(self) -> TuningTrial | None:
        """The completed trial with the best metric; None while there is none."""
        sign = 1.0 if self.higher_is_better else -1.0
        return max(self.completed, key=lambda each: sign * float(each.value or 0.0), default=None)


def read(root: Path, study: str) -> StudyReport | None:
    """The report of a study; None before its first search. Raises `Unreadable` for a damaged one."""
    path = root / ".bonsai" / "tuning" / study / "study.json"
    return parse_as(project_files.read_json(root, path), StudyReport, path.name) if path.is_file() else None
