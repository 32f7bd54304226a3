"""Pass a stage's progress on to Prefect as progress artifacts, from a thread of its own so that no stage waits for a server."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from flows.execution.run_artifacts import slug

INTERVAL_S = 2.0
log = logging.getLogger("bonsai.relay")


@dataclass(slots=True)
class Bar:
    """One stage's progress, as last heard and as last sent."""

    percent: float
    flow_run_id: UUID
    task_run_id: UUID
    sent: float = -1.0
    artifact: UUID | None = None


class ProgressReporter:
    """Sends what is new every two seconds. It starts its thread with the first news and ends it with the block."""

    def __init__(self) -> None:
        self._bars: dict[str, Bar] = {}
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        if self._thread:
            self._thread.join(timeout=INTERVAL_S)

    def progress(self, stage: str, done: int, total: int, flow_run_id: UUID, task_run_id: UUID) -> None:
        """Stage `stage` has done `done` of `total`."""
        percent = round(100 * done / total, 1) if total else 0.0
        with self._lock:
            bar = self._bars.setdefault(stage, Bar(percent, flow_run_id, task_run_id))
            bar.percent = percent
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="relay", daemon=True)
                self._thread.start()

    def _send(self) -> None:
        with get_client(sync_client=True) as client:
            last = False
            while not last:
                last = self._done.wait(INTERVAL_S)
                with self._lock:
                    news = {stage: bar for stage, bar in self._bars.items() if bar.percent != bar.sent}
                for stage, bar in news.items():
                    percent = bar.percent
                    try:
                        if bar.artifact is None:
                            made = client.create_artifact(
                                ArtifactCreate(
                                    key=slug(f"progress-{stage}"),
                                    type="progress",
                                    description=f"{stage}: how far it is",
                                    data=percent,
                                    flow_run_id=bar.flow_run_id,
                                    task_run_id=bar.task_run_id,
                                )
                            )
                            bar.artifact = made.id
                        else:
                            client.update_artifact(bar.artifact, ArtifactUpdate(data=percent))
                        bar.sent = percent
                    except Exception as error:  # the server is not needed for the work; the run's own record has it all
                        log.warning("Prefect's server took no progress of %s: %s", stage, error)
