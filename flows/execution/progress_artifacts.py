"""Report the progress of stages to Prefect as progress artifacts, from a separate thread so that no stage waits for a server."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from flows.execution.run_artifacts import artifact_key

INTERVAL_S = 2.0
log = logging.getLogger("bonsai.progress")


@dataclass(slots=True)
class StageProgress:
    """One stage's progress, as last reported and as last sent."""

    percent: float
    flow_run_id: UUID
    task_run_id: UUID
    sent: float = -1.0
    artifact: UUID | None = None


class ProgressReporter:
    """Sends changed progress every two seconds. Its thread starts with the first report and ends with the `with` block."""

    def __init__(self) -> None:
        self._stages: dict[str, StageProgress] = {}
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        if self._thread:
            self._thread.join(timeout=INTERVAL_S)

    def report(self, stage: str, done: int, total: int, flow_run_id: UUID, task_run_id: UUID) -> None:
        """Stage `stage` has completed `done` of `total` units."""
        percent = round(100 * done / total, 1) if total else 0.0
        with self._lock:
            progress = self._stages.setdefault(stage, StageProgress(percent, flow_run_id, task_run_id))
            progress.percent = percent
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="progress", daemon=True)
                self._thread.start()

    def _send(self) -> None:
        with get_client(sync_client=True) as client:
            last = False
            while not last:
                last = self._done.wait(INTERVAL_S)
                with self._lock:
                    changed = {stage: progress for stage, progress in self._stages.items() if progress.percent != progress.sent}
                for stage, progress in changed.items():
                    percent = progress.percent
                    try:
                        if progress.artifact is None:
                            artifact = client.create_artifact(
                                ArtifactCreate(
                                    key=artifact_key(f"progress-{stage}"),
                                    type="progress",
                                    description=f"{stage}: how far it is",
                                    data=percent,
                                    flow_run_id=progress.flow_run_id,
                                    task_run_id=progress.task_run_id,
                                )
                            )
                            progress.artifact = artifact.id
                        else:
                            client.update_artifact(progress.artifact, ArtifactUpdate(data=percent))
                        progress.sent = percent
                    except Exception as error:  # the work does not need the server; the run's own record has everything
                        log.warning("Prefect's server did not accept the progress of %s: %s", stage, error)
