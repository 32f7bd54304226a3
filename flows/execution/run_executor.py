"""Play one run's stages: ask the ledger, wait for the machine's slots, start the work, remember what came of it."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dvc.exceptions import DvcException

from flows.dvc_state.stage_graph import Stage
from flows.dvc_state.stage_state import StageStore
from flows.execution.stage_process import MISTAKE, Event, Outcome, play
from flows.reporting.console import NullDisplay, RunDisplay, format_duration
from flows.runs import run_record
from flows.runs.recovery import restore_checkpoints, save_checkpoints
from flows.runs.run_record import Run
from flows.system import os_processes
from flows.system.file_locks import StopRequested, acquire_slots, hold_lock

Admission = Callable[[Sequence[str], threading.Event, Callable[[], None]], AbstractContextManager[None]]
"""Given a stage's tags, the event that stops the run, and what to call while it waits: a place within others' limits."""
GOOD = ("Completed", "Unchanged", "Restored")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stage ended, and a line about it."""

    state: Literal["Completed", "Unchanged", "Restored", "Failed", "Cancelled"]
    text: str = ""
    mistake: bool = False
    """Whether it failed because a person asked for what cannot be; to try again would not help."""
    lost: bool = False
    """Whether its process was ended from outside; to try again may well help."""


@dataclass(slots=True)
class RunExecutor:
    """Everything the stages of one run share. The current directory is the run's folder."""

    root: Path
    run: Run
    ledger: StageStore
    show: RunDisplay = field(default_factory=NullDisplay)
    force: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end all stages at work and start no more."""
    admitted: Admission = lambda tags, stop, waits: nullcontext()
    """What else than the machine's slots a stage has to wait for."""

    def perform(self, name: str, heard: Callable[[Event], None] = lambda event: None) -> Ending:
        """Play one stage, or find that it need not be played. Threads may perform different stages at the same time.

        `heard` is called with each event of the stage's journal, and with `{"event": "waits"}` while no slot is free for it.
        """
        began = time.monotonic()
        try:
            ending = self._recalled(name) or self._played(name, heard)
        except StopRequested:
            ending = Ending("Cancelled", "was stopped before it began")
        except Exception as fault:  # DVC's, or the machine's: the stage has failed, and the record says of what
            self.run.note_stage(name, details=traceback.format_exc())
            what = "" if isinstance(fault, DvcException) else f"{type(fault).__name__}: "
            ending = Ending("Failed", f"{what}{' '.join(str(fault).split())}")
        good = ending.state in GOOD
        self.run.note_stage(
            name,
            state=ending.state,
            error="" if good else ending.text,
            ended_at=run_record.now(),
            all_s=round(time.monotonic() - began, 3),
            outs=self.ledger.outs(name) if good else {},
            process=None,
        )
        self.show.stage(name, ending.state, ending.text)
        return ending

    def _recalled(self, name: str) -> Ending | None:
        if self.stop.is_set():
            raise StopRequested
        known = None if self.force else self.ledger.restore(name)
        return Ending(known) if known else None

    def _played(self, name: str, heard: Callable[[Event], None]) -> Ending:
        key = self.ledger.key(name)
        reasons = [{"kind": reason.kind, "text": reason.text} for reason in self.ledger.reasons.get(name, ())]
        self.run.note_stage(name, state="Queued", key=key, reasons=reasons, error="")
        locks = self.root / ".bonsai" / "locks" / "stages"
        with hold_lock(locks / key[:3], self.stop):  # another run may be at the same work: then wait for what it finds
            if known := self._recalled(name):
                return known

            def waits() -> None:
                heard({"event": "waits"})

            stage, slots = self.ledger.stages[name], self.root / ".bonsai" / "slots"
            with self.admitted(stage.tags, self.stop, waits), acquire_slots(slots, stage.slots, self.stop, waits):
                self.ledger.clear(name)
                if restore_checkpoints(self.root, self.run.folder, name, key):
                    self.show.message(f"{name}  goes on from where an earlier run was stopped", "dim")
                outcome = self._work(stage, heard)
            if outcome.code == 0 and not outcome.stopped:
                self.ledger.commit(name)
                return Ending("Completed", format_duration(outcome.cost.get("wall_s", 0.0)))
            save_checkpoints(self.root, self.run.folder, name, key)
            if outcome.stopped and self.stop.is_set():
                return Ending("Cancelled", outcome.error)
            lost = outcome.code < 0 and not outcome.stopped
            return Ending("Failed", outcome.error, mistake=outcome.code == MISTAKE, lost=lost)

    def _work(self, stage: Stage, heard: Callable[[Event], None]) -> Outcome:
        attempt = int(self.run.record["stages"].get(stage.name, {}).get("attempt", 0)) + 1
        self.show.stage(stage.name, "Running", f"attempt {attempt}" if attempt > 1 else "")

        def started(pid: int) -> None:
            at = run_record.now()
            self.run.note_stage(stage.name, state="Running", attempt=attempt, started_at=at, process=os_processes.identity(pid))

        def listen(event: Event) -> None:
            self.show.event(stage.name, event)
            heard(event)

        outcome = play(
            stage.name,
            stage.command,
            self.run.folder,
            stop=self.stop,
            heard=listen,
            started=started,
            environment={"BONSAI_ROOT": str(self.root), "BONSAI_RUN": self.run.id},
            timeout_s=stage.timeout_s,
        )
        self.run.note_stage(stage.name, details=outcome.details, exit_code=outcome.code, **outcome.cost)
        return outcome

    def left(self) -> list[str]:
        """The stages that nobody has begun, though nothing they need stands in the way; in playing order."""
        entries, found = self.run.record["stages"], list[str]()
        for name, stage in self.ledger.stages.items():
            ready = all(need in found or entries[need]["state"] in GOOD for need in stage.needs)
            if entries[name]["state"] == "Pending" and ready and not self.stop.is_set():
                found.append(name)
        return found

    def finish(self, error: str = "", *, cancelled: bool = False) -> str:
        """Write the run's last word, with `error` if it did not come to a natural end; gives its state."""
        entries = self.run.record["stages"]
        for name, entry in entries.items():
            if entry["state"] in ("Pending", "Queued", "Running"):
                missing = [need for need in entry.get("needs", ()) if entries[need]["state"] not in GOOD]
                entry.update(state="NotRun", error=f"needs {', '.join(missing)}" if missing else "")
                self.show.stage(name, "NotRun", entry["error"])
        failed = [f"{name}: {entry['error']}" for name, entry in entries.items() if entry["state"] == "Failed"]
        if cancelled:
            state, error = "Cancelled", error or "was stopped by hand"
        elif not error and all(entry["state"] in GOOD for entry in entries.values()):
            state = "Completed"
        else:
            state, error = "Failed", "; ".join(failed) or error or "not every stage was run; flow.log says more"
        results = run_record.results(self.run.folder, self.run.record["use_cases"])
        self.run.note(state=state, error=error, ended_at=run_record.now(), results=results)
        return state
