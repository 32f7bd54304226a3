"""Commands for recorded runs: runs, compare, pin, restore, gc, push, pull, verify; and tune and doctor."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import settings
from flows.cli.options import AsJson, Remote, RunId, Trust

if TYPE_CHECKING:
    from flows.runs.run_record import Run


def runs(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Only runs of this use case.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="Number of runs.")] = 20,
    state: Annotated[
        str, typer.Option("--state", help="Only this state: Completed, Failed, Cancelled, Crashed, Running, Pending or Damaged.")
    ] = "",
    since: Annotated[
        str,
        typer.Option("--since", help="Only since a date, such as 2026-01-31, or a time span ago: 30min, 12h, 3d, 2w."),
    ] = "",
    who: Annotated[str, typer.Option("--who", metavar="USER", help="Only runs that this user started.")] = "",
    pinned: Annotated[bool, typer.Option("--pinned", help="Only pinned runs.")] = False,
) -> None:
    """List runs, newest first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.reporting import verdicts
    from flows.reporting.console import format_duration, stdout
    from flows.runs import record_file, run_record, search

    since = search.parse_since(since) if since else ""
    run_filter = search.RunFilter(use_case, (state,) if state else (), since, who, pinned=pinned)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "run", "state", "overrides", "duration", "verdict", "released", "user", "note"):
        table.add_column(column, no_wrap=column in ("", "run", "state"))
    damages = list[str]()
    for each in islice(search.filter_runs(settings.project_root(), run_filter), last):
        overrides = " ".join(f"{name.removeprefix('use_cases.')}={value}" for name, value in each.record["overrides"].items())
        state_now = run_record.state(each)
        decisions = verdicts.of_record(each.record, state_now)
        outcome = verdicts.summary(decisions), verdicts.released_names(decisions)
        annotation, user = search.read_annotation(each.folder), str(each.record.get("asked", {}).get("who", ""))
        cells = (overrides, format_duration(run_record.duration_s(each.record)), *outcome, user, annotation.text)
        table.add_row("*" if annotation.pinned else "", each.id, state_now, *map(escape, cells))
        if each.damage:
            damages.append(record_file.repair(each.folder) or f"{each.damage}; {record_file.advice(each.folder)}")
    stdout().print(table if table.row_count else "no such run" if run_filter != search.RunFilter() else "no run yet")
    for line in damages:
        stdout().print(line, style="yellow", markup=False, soft_wrap=True)


def compare(left: RunId, right: RunId, as_json: AsJson = False) -> None:
    """Print how two runs differ.

    Compares parameters, code, machine, stage hashes and metrics.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.maintenance import compare as comparing
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    sides = search.find_run(root, left), search.find_run(root, right)
    differences = comparing.compare(*sides)
    if as_json:
        print(comparing.to_json(differences))
        return
    table = Table("", "", *(escape(side.id) for side in sides), box=box.SIMPLE_HEAD)
    subject = ""
    for each in differences:
        table.add_row("" if each.about == subject else each.about, *map(escape, (each.name, each.left, each.right)))
        subject = each.about
    stdout().print(table if differences else "the two runs are the same")


def pin(
    run: RunId,
    off: Annotated[bool, typer.Option("--off", help="Remove the pin.")] = False,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Note to keep with the run.")] = None,
) -> None:
    """Protect a run from `bonsai gc`."""
    from flows.reporting.console import stdout
    from flows.runs import search

    recorded = search.find_run(settings.project_root(), run)
    annotation = search.RunAnnotation(not off, search.read_annotation(recorded.folder).text if note is None else note)
    search.write_annotation(recorded.folder, annotation)
    stdout().print(f"{recorded.id} is {'pinned' if annotation.pinned else 'no longer pinned'}")


def restore(
    run: RunId,
    code: Annotated[bool, typer.Option("--code", help="Also restore the run's tasks/ and dvc.yaml.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are saved nowhere else.")] = False,
    trust: Trust = False,
) -> None:
    """Copy a run into the project's own folder.

    Copies its parameters and artifacts, and with --code its code.
    """
    from rich.markup import escape

    from flows.maintenance import restore as restoring
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    recorded = search.find_run(root, run)
    trusted = not code or _is_trusted(recorded, trust)
    for line in restoring.restore(root, recorded, code=code, force=force, trusted=trusted):
        stdout().print(escape(line), style="yellow", soft_wrap=True)
    stdout().print(f"restored {recorded.id}")


def gc(
    keep: Annotated[int, typer.Option("--keep", min=0, help="Number of newest runs to keep.")] = 20,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
) -> None:
    """Remove old runs and their cached objects.

    Keeps the newest runs, pinned and active ones, and every object that they need.
    """
    from flows.maintenance.garbage_collection import collect_garbage
    from flows.reporting.console import stdout

    root, console = settings.project_root(), stdout()
    report = collect_garbage(root, keep=keep, dry_run=dry_run)
    for name in report.runs:
        console.print(f"{'would remove' if dry_run else 'removed'} {name}", style="dim")
    for line in (*report.repaired, *report.unreadable, *filter(None, [report.objects_kept_because])):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    total = f"{len(report.runs):,} runs and {len(report.objects):,} objects, {report.freed_bytes / 1e6:,.1f} MB"
    console.print(f"{'would free' if dry_run else 'freed'} {total}")


def push(run: RunId, remote: Remote = "") -> None:
    """Upload a run to a DVC remote.

    Uploads its record and the artifacts that the remote does not have yet.
    """
    from flows.maintenance import remote as remotes
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    recorded = search.find_run(root, run)
    stdout().print(f"pushed {recorded.id}: {remotes.push(root, recorded, remote):,} new objects")


def pull(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Complete run id; without one, the remote's runs are listed.")] = "",
    remote: Remote = "",
) -> None:
    """Download a run from a DVC remote.

    `bonsai restore` then copies it into the project's own folder.
    """
    from flows.maintenance import remote as remotes
    from flows.reporting.console import stdout

    root = settings.project_root()
    if not run:
        stdout().print("\n".join(remotes.remote_runs(root, remote)) or "the remote has no run")
        return
    pulled, count = remotes.pull(root, run, remote)
    stdout().print(f"pulled {pulled.id}: {count:,} new objects")


def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or a unique start or end of one.")] = "newest",
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="Relative difference that latencies may have.")] = 1.0,
    trust: Trust = False,
) -> None:
    """Repeat a run and compare its artifacts.

    Repeats it in a clean clone. Each stage is identical, within tolerance, or different.
    """
    from rich.markup import escape

    from flows.maintenance import verify as verifying
    from flows.reporting.console import stdout
    from flows.runs import search

    root, console = settings.project_root(), stdout()
    recorded = search.find_run(root, run)
    colours = {"identical": "green", "within tolerance": "green", "differs": "red", "failed": "red"}

    def print_verdict(each: verifying.Verdict) -> None:
        console.print(
            f"{escape(each.stage)}  [{colours[each.state]}]{each.state}[/]  {escape(each.text)}".rstrip(), soft_wrap=True
        )

    trusted = _is_trusted(recorded, trust)
    console.print(f"repeating {recorded.id} in a clean clone", style="bold")
    verdicts = verifying.verify(root, recorded, tolerance=tolerance, trusted=trusted, on_verdict=print_verdict)
    failures = [each for each in verdicts if each.state not in verifying.VERIFIED]
    if failures:
        first = failures[0]
        console.print(f"differs at {first.stage}: {escape(first.text)}; the clone is kept in .bonsai/verify/{recorded.id}")
    else:
        timed = sum(each.state == "within tolerance" for each in verdicts)
        console.print(
            f"verified: {len(verdicts) - timed} stages identical, {timed} identical but for latencies within {tolerance:.0%}"
        )
    raise typer.Exit(int(bool(failures)))


def _is_trusted(run: Run, trust: bool) -> bool:
    """Whether the code of a run may be run: one made here, or one from a remote after --trust or a yes on the terminal."""
    from flows.runs import run_record

    if trust or not run_record.is_foreign(run.folder):
        return True
    question = f"{run.id} was pulled from a remote; this runs the code in {run.folder / 'tasks'}. Do you trust it?"
    return sys.stdin.isatty() and typer.confirm(question)


def tune(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose parameters are tuned.")],
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="NAME=LOW..HIGH", help="Parameter and its range, or choices as NAME=a,b,c. Repeatable."),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=0, help="Number of trials, the study's earlier ones included.")
    ] = 20,
    study: Annotated[
        str, typer.Option("--study", metavar="NAME", help="Name of the study; by default that of the use case.")
    ] = "",
    write: Annotated[bool, typer.Option("--write", help="Write the best parameters to params.yaml.")] = False,
) -> None:
    """Search for better parameters.

    Each trial is scored on the validation split. An existing study of that name is continued.
    """
    from flows import tuning
    from flows.reporting.console import stdout
    from tasks.core.errors import UserError

    root, console = settings.project_root(), stdout()
    spaces = [tuning.parse_space(text) for text in over or ()] or tuning.default_spaces(root, use_case)
    with tuning.open_study(root, use_case, study) as open_study:
        tuning.search(
            root,
            use_case,
            spaces,
            trials,
            study=open_study,
            on_trial=lambda line: console.print(line, markup=False, soft_wrap=True),
        )
        best = tuning.best(open_study)
    if best is None:
        raise UserError("no trial was completed; .bonsai/tuning holds their event logs")
    values, score = best
    options = " ".join(f"--set {name}={value}" for name, value in values.items())
    console.print(f"best on the validation split: {score:.4f} with {options}", markup=False, soft_wrap=True)
    if write:
        tuning.write_params(root, use_case, values)
        console.print("written to params.yaml")


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Hash every object of the cache, not only a sample.")] = False,
    advisories: Annotated[
        str,
        typer.Option("--advisories", metavar="FILE", help="Known vulnerabilities, in the OSV format, to compare with."),
    ] = "",
) -> None:
    """Check the installation, cache and machine.

    Also repairs what killed processes left behind.
    """
    from flows.maintenance.doctor import run_checks

    raise typer.Exit(run_checks(settings.project_root(), full=full, advisories=Path(advisories) if advisories else None))


COMMANDS = (runs, compare, pin, restore, gc, push, pull, verify, tune, doctor)
