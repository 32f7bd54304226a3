"""What a run would execute and why, determined without executing it; and which stages of the project are up to date."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.dvc_state import stage_graph
from flows.dvc_state.stage_graph import Reason
from flows.dvc_state.stage_state import StageStore, open_repo
from flows.parameters.run_request import RunRequest
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tasks.core.storage.event_log import read_events


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """What a run would do with one stage."""

    name: str
    verdict: Literal["Unchanged", "Restored", "Run"]
    reasons: tuple[Reason, ...] = ()
    seconds: float | None = None
    """How long it took when it last ran, None if unknown."""


def plan_run(root: Path, request: RunRequest, *, force: bool = False) -> list[PlannedStage]:
    """The stages of a run in execution order, each with its verdict; determined in a temporary workspace."""
    durations = stage_durations(root)
    folder = root / ".bonsai" / "plans" / f".plan.{os.getpid()}.partial"
    folder.mkdir(parents=True)
    try:
        create_workspace(root, folder, request)
        with chdir(folder), StageStore(folder) as store:
            return _plan_stages(store, durations, force=force)
    finally:
        shutil.rmtree(folder)


def project_status(root: Path, use_cases: Iterable[str] = ()) -> dict[str, list[Reason]]:
    """The reasons why each stage of the project's own folder is not up to date, by stage; empty for one that is."""
    with chdir(root), open_repo(root) as repo, repo.lock:
        stages = stage_graph.select(stage_graph.read(repo), use_cases)
        nodes = {node.name: node for node in repo.index.stages if node.cmd}  # a file that `dvc add` made is a nameless stage
        reasons = {name: stage_graph.stale_reasons(repo, nodes[name]) for name in stages}
    for name, stage in stages.items():
        stale = [need for need in stage.needs if reasons.get(need)]
        if stale and not reasons[name]:
            reasons[name] = [Reason("upstream", f"after {', '.join(stale)}")]
    return reasons


def stage_durations(root: Path) -> dict[str, float]:
    """Seconds that each stage took when it last ran, from the newest runs' records or else the project's own event logs."""
    durations: dict[str, float] = {}
    for run in run_record.recent_runs(root):
        for name, entry in run.record.get("stages", {}).items():
            if entry.get("state") == "Completed" and "wall_s" in entry:
                durations.setdefault(name, float(entry["wall_s"]))
    for event_log in (root / "journal").glob("*.jsonl"):
        for event in read_events(event_log):
            if event["event"] == "finished":
                durations.setdefault(event_log.stem, float(event["wall_s"]))
    return durations


def _plan_stages(store: StageStore, durations: dict[str, float], *, force: bool) -> list[PlannedStage]:
    planned: dict[str, PlannedStage] = {}
    for name, stage in store.stages.items():
        upstream = [need for need in stage.needs if planned[need].verdict == "Run"]
        reasons = store.stale_reasons(name, outputs=False)
        if force:
            reasons = [Reason("force", "--force")]
        elif upstream:
            own = [reason for reason in reasons if reason.kind != "data"]
            reasons = [*own, Reason("upstream", f"after {', '.join(upstream)}")]
        elif state := store.restore(name):
            planned[name] = PlannedStage(name, state, tuple(reasons))
            continue
        reasons = reasons or [Reason("output", "its outputs are not in the cache")]
        planned[name] = PlannedStage(name, "Run", tuple(reasons), durations.get(name))
    return list(planned.values())


def to_json(stages: Iterable[PlannedStage]) -> str:
    """The plan as JSON."""
    return json.dumps(
        [
            {
                "stage": stage.name,
                "verdict": stage.verdict,
                "seconds": stage.seconds,
                "reasons": [{"kind": reason.kind, "text": reason.text} for reason in stage.reasons],
            }
            for stage in stages
        ],
        indent=2,
    )
