"""What a run would do and why, found out by playing the ledger without the work; and how the project stands."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from flows.dvc_state import stage_graph
from flows.dvc_state.stage_graph import Reason
from flows.dvc_state.stage_state import StageStore, open_repo, working_directory
from flows.parameters.run_request import RunRequest
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tasks.core.event_log import read_events

RUNS_LOOKED_AT = 30


@dataclass(frozen=True, slots=True)
class Step:
    """What would become of one stage."""

    name: str
    verdict: Literal["Unchanged", "Restored", "Run"]
    reasons: tuple[Reason, ...] = ()
    seconds: float | None = None
    """How long it took when it last ran, None if that is not known."""


def plan(root: Path, asked: RunRequest, *, force: bool = False) -> list[Step]:
    """The stages of a run in playing order, each with its verdict: in a workspace made for it and thrown away."""
    took = times(root)
    folder = root / ".bonsai" / "plans" / f".plan.{os.getpid()}.partial"
    folder.mkdir(parents=True)
    try:
        create_workspace(root, folder, asked)
        with working_directory(folder), StageStore(folder) as ledger:
            return _steps(ledger, took, force=force)
    finally:
        shutil.rmtree(folder)


def status(root: Path, use_cases: Iterable[str] = ()) -> dict[str, list[Reason]]:
    """Why each stage of the project's own folder is not up to date; no reasons where it is."""
    with working_directory(root), open_repo(root) as repo, repo.lock:
        stages = stage_graph.select(stage_graph.read(repo), use_cases)
        nodes = {node.name: node for node in repo.index.stages}
        reasons = {name: stage_graph.stale_reasons(repo, nodes[name]) for name in stages}
    for name, stage in stages.items():
        late = [need for need in stage.needs if reasons.get(need)]
        if late and not reasons[name]:
            reasons[name] = [Reason("upstream", f"after {', '.join(late)}")]
    return reasons


def times(root: Path) -> dict[str, float]:
    """Seconds each stage took when it last ran: by the newest runs' records, or else by the project's own journals."""
    found: dict[str, float] = {}
    for run in islice(run_record.iter_runs(root), RUNS_LOOKED_AT):
        for name, entry in run.record.get("stages", {}).items():
            if entry.get("state") == "Completed" and "wall_s" in entry:
                found.setdefault(name, float(entry["wall_s"]))
    for journal in (root / "journal").glob("*.jsonl"):
        for event in read_events(journal):
            if event["event"] == "finished":
                found.setdefault(journal.stem, float(event["wall_s"]))
    return found


def _steps(ledger: StageStore, took: dict[str, float], *, force: bool) -> list[Step]:
    steps: dict[str, Step] = {}
    for name, stage in ledger.stages.items():
        awaited = [need for need in stage.needs if steps[need].verdict == "Run"]
        reasons = ledger.stale_reasons(name, outputs=False)
        if force:
            reasons = [Reason("force", "--force")]
        elif awaited:
            own = [reason for reason in reasons if reason.kind != "data"]
            reasons = [*own, Reason("upstream", f"after {', '.join(awaited)}")]
        elif known := ledger.restore(name):
            steps[name] = Step(name, known, tuple(reasons))
            continue
        steps[name] = Step(name, "Run", tuple(reasons or [Reason("output", "its outputs are not in the cache")]), took.get(name))
    return list(steps.values())


def as_json(steps: Iterable[Step]) -> str:
    """The plan for other programs."""
    return json.dumps(
        [
            {
                "stage": step.name,
                "verdict": step.verdict,
                "seconds": step.seconds,
                "reasons": [{"kind": reason.kind, "text": reason.text} for reason in step.reasons],
            }
            for step in steps
        ],
        indent=2,
    )
