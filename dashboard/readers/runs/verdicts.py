"""The verdict of a run: from its record, or from the release artifact of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_records import Run
from flows.reporting import verdicts as decisions
from flows.reporting.verdicts import Verdict


def of_run(run: Run, use_case: str) -> Verdict:
    """The verdict for one use case of a run. The project's own folder has no record: there the artifact is read."""
    if run.id == run_records.WORKSPACE:
        try:
            return of_artifact(Artifacts(run.root, run.folder, use_case))
        except Unreadable:
            return Verdict(use_case=use_case, word="", sentence="")
    return decisions.of_use_case(
        use_case,
        _map(_map(_map(run.record.results).get(use_case)).get("verdict")),
        state=run.state.capitalize(),
        stages={name: (entry.state, entry.error) for name, entry in run.record.stages.items()},
        error=run.record.error,
    )


def of_use_cases(run: Run, use_case: str = "") -> list[Verdict]:
    """The verdicts of all use cases of a run, or of the one that is named."""
    return [of_run(run, name) for name in run.record.use_cases if use_case in ("", name)]


def of_artifact(artifacts: Artifacts) -> Verdict:
    """The verdict in the release artifact; raises `Unreadable` if there is none."""
    return decisions.parse(artifacts.use_case, artifacts.verdict().model_dump())


def of_folder(artifacts: Artifacts, run: Run) -> Verdict:
    """The verdict in the release artifact; without one `error` if the record says so, else raises `Unreadable`."""
    try:
        return of_artifact(artifacts)
    except Unreadable:
        recorded = of_run(run, artifacts.use_case)
        if recorded.word == "error":
            return recorded
        raise


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
