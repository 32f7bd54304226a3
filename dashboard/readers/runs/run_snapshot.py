"""Everything the run page shows about one run, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dashboard.readers.runs import run_records, run_status
from dashboard.readers.runs.run_records import Record, Run
from dashboard.readers.runs.run_status import Curves, Progress, Stage

RECENT_RUNS = 12
"""Earlier runs among which those of the same size are found, whose stage durations estimate the time left."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One use case of a run, or of the project's own workspace. The page reads it once per refresh and passes it to its views.

    The stages' events are shared between readers: not to be changed.
    """

    run: Run
    use_case: str
    read_at: datetime
    stages: Mapping[str, Stage]
    """The stages of the use case, by name in pipeline order."""
    progress: Progress
    curves: Mapping[str, Curves]
    """Training curves by stage; those stored with the model when no stage of this run logged any."""
    other_use_cases: Mapping[str, Mapping[str, Stage]]
    """The stages of the run's other use cases, by use case."""

    @classmethod
    def read(cls, root: Path, run_id: str, use_case: str) -> RunSnapshot:
        """Read the record, the event logs and the stored curves; raises `Unreadable` when there is no such run."""
        run, now = run_records.load(root, run_id), datetime.now(UTC)
        stages = run_status.stages(run, use_case, now=now)
        recent = run_records.latest(root, use_case, RECENT_RUNS)
        alike = [other for other in recent if run_status.effort(other) == run_status.effort(run)]
        return cls(
            run=run,
            use_case=use_case,
            read_at=now,
            stages=stages,
            progress=run_status.progress(stages, run_status.durations(alike)),
            curves=run_status.curves(stages) or run_status.reused_curves(run, use_case, stages),
            other_use_cases={name: run_status.stages(run, name, now=now) for name in run.record.use_cases if name != use_case},
        )

    @property
    def record(self) -> Record:
        return self.run.record

    @property
    def is_workspace(self) -> bool:
        """Whether this is the project's own folder, which has no record."""
        return self.run.id == run_records.WORKSPACE

    @property
    def is_working(self) -> bool:
        """Whether the run is under way; in the workspace, whether a stage of the use case is."""
        return self.run.live or (self.is_workspace and any(stage.state in run_status.WORKING for stage in self.stages.values()))
