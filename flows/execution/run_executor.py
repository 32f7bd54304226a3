"""Execute a run's stages: look each up in DVC's cache, wait for slots, run its process, and record the result."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dvc.exceptions import DvcException

from flows.dvc_state.stage_graph import Stage
from flows.dvc_state.stage_state import StageStore
from flows.execution.stage_process import USER_ERROR_EXIT_CODE, ProcessResult, run_stage_process
from flows.execution.waiting_line import WaitingLine
from flows.reporting.console import NullDisplay, RunDisplay, format_duration, one_line
from flows.runs import run_record
from flows.runs.event_follower import Event
from flows.runs.recovery import restore_checkpoints, save_checkpoints
from flows.runs.run_record import Run
from flows.system import os_processes
from flows.system.file_locks import StopRequested, acquire_slots, hold_lock
from tasks.core.errors import UserError

AcquireLimits = Callable[[Sequence[str], threading.Event, Callable[[], None]], AbstractContextManager[None]]
"""(a stage's tags, the event that stops the run, a function to call while waiting) -> slots of Prefect's concurrency limits."""
SUCCEEDED = ("Completed", "Unchanged", "Restored")


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a stage ended, with a line for people."""

    state: Literal["Completed", "Unchanged", "Restored", "Failed", "Cancelled"]
    text: str = ""
    user_error: bool = False
    """Whether it failed with a `UserError`; a retry would not help."""
    interrupted: bool = False
    """Whether its process was ended from outside; a retry may help."""


@dataclass(slots=True)
class RunExecutor:
    """Executes the stages of one run. The current directory is the run's folder."""

    root: Path
    run: Run
    store: StageStore
    show: RunDisplay = field(default_factory=NullDisplay)
    force: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end all running stages and start no more."""
    acquire_limits: AcquireLimits = lambda tags, stop, on_wait: nullcontext()
    """Slots a stage needs besides the machine's own."""
    line: WaitingLine = field(default_factory=lambda: WaitingLine({}))
    """The order in which waiting stages get slots."""

    def execute(self, name: str, on_event: Callable[[Event], None] = lambda event: None) -> StageResult:
        """Run one stage, unless its outputs are known. Threads may execute different stages at the same time.

        `on_event` is called with each event of the stage's log, and with `{"event": "waits"}` while no slot is free for it.
        """
        started_at = time.monotonic()
        try:
            result = self._from_cache(name) or self._from_process(name, on_event)
        except StopRequested:
            result = StageResult("Cancelled", "was stopped before it began")
        except Exception as error:  # DVC's or the machine's: the stage has failed, and the record says why
            self.run.update_stage(name, details=traceback.format_exc())
            kind = "" if isinstance(error, DvcException) else f"{type(error).__name__}: "
            result = StageResult("Failed", f"{kind}{one_line(error)}")
        succeeded = result.state in SUCCEEDED
        self.run.update_stage(
            name,
            state=result.state,
            error="" if succeeded else result.text,
            ended_at=run_record.now(),
            all_s=round(time.monotonic() - started_at, 3),
            outs=self.store.outs(name) if succeeded else {},
            process=None,
        )
        self.show.stage(name, result.state, result.text)
        return result

    def _from_cache(self, name: str) -> StageResult | None:
        if self.stop.is_set():
            raise StopRequested
        state = None if self.force else self.store.restore(name)
        self._report_damages()
        return StageResult(state) if state else None

    def _report_damages(self) -> None:
        """Say which damaged objects of the cache were set aside."""
        while self.store.damages:
            self.show.message(self.store.damages.pop(), "yellow")

    def _from_process(self, name: str, on_event: Callable[[Event], None]) -> StageResult:
        key = self.store.key(name)
        reasons = [{"kind": reason.kind, "text": reason.text} for reason in self.store.reasons.get(name, ())]
        self.run.update_stage(name, state="Queued", key=key, reasons=reasons, error="")
        locks = self.root / ".bonsai" / "locks" / "stages"
        with hold_lock(locks / key[:3], self.stop):  # another run may be executing the same stage: wait for its outputs
            if cached := self._from_cache(name):
                return cached

            def on_wait() -> None:
                on_event({"event": "waits"})

            stage, slots = self.store.stages[name], self.root / ".bonsai" / "slots"
            with ExitStack() as held:
                held.enter_context(self.acquire_limits(stage.tags, self.stop, on_wait))
                with self.line.first(name, self.stop, on_wait):
                    held.enter_context(acquire_slots(slots, stage.slots, self.stop, on_wait))
                self.store.clear(name)
                if restore_checkpoints(self.root, self.run.folder, name, key):
                    self.show.message(f"{name}  goes on from where an earlier run was stopped", "dim")
                process = self._run_process(stage, on_event)
            if process.exit_code == 0 and not process.stopped:
                self.store.commit(name)
                self._report_damages()
                return StageResult("Completed", format_duration(process.cost.get("wall_s", 0.0)))
            save_checkpoints(self.root, self.run.folder, name, key)
            if process.stopped and self.stop.is_set():
                return StageResult("Cancelled", process.error)
            interrupted = process.exit_code < 0 and not process.stopped
            user_error = process.exit_code == USER_ERROR_EXIT_CODE
            return StageResult("Failed", process.error, user_error=user_error, interrupted=interrupted)

    def _run_process(self, stage: Stage, on_event: Callable[[Event], None]) -> ProcessResult:
        attempt = int(self.run.record["stages"].get(stage.name, {}).get("attempt", 0)) + 1
        self.show.stage(stage.name, "Running", f"attempt {attempt}" if attempt > 1 else "")

        def record_start(pid: int) -> None:
            at = run_record.now()
            self.run.update_stage(stage.name, state="Running", attempt=attempt, started_at=at, process=os_processes.identity(pid))

        def report(event: Event) -> None:
            self.show.event(stage.name, event)
            on_event(event)

        result = run_stage_process(
            stage.name,
            stage.command,
            self.run.folder,
            stop=self.stop,
            on_event=report,
            on_start=record_start,
            environment={"BONSAI_ROOT": str(self.root), "BONSAI_RUN": self.run.id},
            timeout_s=stage.timeout_s,
        )
        self.run.update_stage(stage.name, details=result.details, exit_code=result.exit_code, **result.cost)
        return result

    def ready_stages(self) -> list[str]:
        """The stages that are still pending though their upstream stages succeeded or are in this list, in execution order."""
        entries, ready = self.run.record["stages"], list[str]()
        for name, stage in self.store.stages.items():
            unblocked = all(need in ready or entries[need]["state"] in SUCCEEDED for need in stage.needs)
            if entries[name]["state"] == "Pending" and unblocked and not self.stop.is_set():
                ready.append(name)
        return ready

    def finish(self, error: str = "", *, cancelled: bool = False) -> str:
        """Write the run's final state and results to its record and return the state; `error` says why it ended early."""
        entries = self.run.record["stages"]
        for name, entry in entries.items():
            if entry["state"] in ("Pending", "Queued", "Running"):
                missing = [need for need in entry.get("needs", ()) if entries[need]["state"] not in SUCCEEDED]
                entry.update(state="NotRun", error=f"needs {', '.join(missing)}" if missing else "")
                self.show.stage(name, "NotRun", entry["error"])
        failed = [f"{name}: {entry['error']}" for name, entry in entries.items() if entry["state"] == "Failed"]
        if cancelled:
            state, error = "Cancelled", error or "was stopped by hand"
        elif not error and all(entry["state"] in SUCCEEDED for entry in entries.values()):
            state = "Completed"
        else:
            state, error = "Failed", "; ".join(failed) or error or "not every stage was run; flow.log says more"
        try:
            results = run_record.read_results(self.run.folder, self.run.record["use_cases"])
        except UserError as damage:
            state, error, results = "Failed", str(damage), {}
        self.run.update(state=state, error=error, ended_at=run_record.now(), results=results)
        return state
