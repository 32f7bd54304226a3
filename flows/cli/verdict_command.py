"""The command `bonsai verdict`: what a run decided for each use case, for people and for CI."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import settings
from flows.cli.options import AsJson
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from flows.reporting.verdicts import Verdict
    from flows.runs.run_record import Run

WORKSPACE = "workspace"
"""Stands for the project's own folder, where `dvc repro` writes."""


def verdict(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Run id, a unique start or end of one, `newest`, or `workspace` for the project."),
    ] = "",
    use_case: Annotated[
        str, typer.Option("--use-case", metavar="NAME", help="Only this use case; without RUN, of its newest run.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the verdict of a run: released, refused, inconclusive or error.

    Exit code: 0 all released, 3 one refused, 4 one inconclusive and none refused, 1 an error, 130 cancelled.
    """
    import json

    from flows.reporting import verdict_table, verdicts
    from flows.reporting.console import stdout

    run_id, state, decisions = _read(settings.project_root(), run, use_case)
    if state in ("Pending", "Running"):
        raise UserError(f"run {run_id} has not ended; `bonsai verdict {run_id}` answers when it has")
    if as_json:
        print(json.dumps(verdicts.as_json(run_id, state, decisions), indent=2))
    else:
        console = stdout()
        console.print(run_id, style="bold", markup=False)
        for each in decisions:
            verdict_table.print_verdict(each, console)
            verdict_table.print_candidates(each, console)
    raise typer.Exit(verdicts.exit_code(decisions, state))


def _read(root: Path, name: str, use_case: str) -> tuple[str, str, list[Verdict]]:
    """Id, state and verdicts of the run, or of the project's own folder; raises `UserError` if there is none."""
    from flows.reporting import verdicts
    from flows.runs import run_record

    if name == WORKSPACE:
        results = run_record.read_results(root, sorted(path.name for path in (root / "data").glob("*")))
        if not results:
            raise UserError("the project's own folder has no release; `bonsai run` makes one")
        record, state = {"use_cases": list(results), "results": results}, "Completed"
    else:
        recorded = _find(root, name, use_case)
        name, record, state = recorded.id, recorded.record, run_record.state(recorded)
    if use_case and use_case not in record["use_cases"]:
        raise UserError(f"{name} has no use case {use_case!r}; {_nearest(use_case, record['use_cases'])}")
    every = verdicts.of_record(record, state)
    return name, state, [each for each in every if use_case in ("", each.use_case)]


def _find(root: Path, name: str, use_case: str) -> Run:
    """The named run; without a name the newest, of the use case if one is named."""
    from flows.runs import run_record, search

    if name or not use_case:
        return search.find_run(root, name or search.NEWEST)
    newest = next(search.filter_runs(root, search.RunFilter(use_case)), None)
    if newest is None:
        others = sorted({other for run in run_record.recent_runs(root) for other in run.record.get("use_cases", ())})
        raise UserError(f"no run of the use case {use_case!r}; {_nearest(use_case, others)}")
    return newest


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'no run yet'}"
