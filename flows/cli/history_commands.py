"""The part of the command line that is about what was: runs, compare, pin, restore, gc, push, pull, verify, tune, doctor."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from flows import settings

Name = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning or its end, or `newest`.")]
AsJson = Annotated[bool, typer.Option("--json", help="For other programs.")]
Remote = Annotated[str, typer.Option("--remote", "-r", help="A remote's name; the project's default if none.")]


def runs(
    use_case: Annotated[str, typer.Argument(metavar="[USE_CASE]", help="Only runs of this use case.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many.")] = 20,
    state: Annotated[str, typer.Option("--state", help="Completed, Failed, Cancelled, Crashed, Running or Pending.")] = "",
    since: Annotated[str, typer.Option("--since", help="A date such as 2026-01-31, or 3d, 12h, 30min, 2w ago.")] = "",
    who: Annotated[str, typer.Option("--who", help="Only runs this person asked for.")] = "",
    pinned: Annotated[bool, typer.Option("--pinned", help="Only those that are pinned.")] = False,
) -> None:
    """List runs, the newest first."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.reporting.console import format_duration, stdout
    from flows.runs import run_record as records
    from flows.runs import search

    wanted = search.RunFilter(use_case, (state,) if state else (), search.parse_since(since) if since else "", who, pinned=pinned)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "run", "state", "what was set", "took", "released", "who", "note"):
        table.add_column(column, no_wrap=column in ("", "run", "state"))
    for each in islice(search.filter_runs(settings.project_root(), wanted), last):
        changes = " ".join(f"{name.removeprefix('use_cases.')}={value}" for name, value in each.record["overrides"].items())
        verdicts = [release.get("verdict", {}) for release in each.record["results"].values()]
        released = ", ".join(str(verdict.get("released") or "nothing") for verdict in verdicts)
        kept, asked = search.read_annotation(each.folder), str(each.record.get("asked", {}).get("who", ""))
        cells = (changes, format_duration(records.duration_s(each.record)), released, asked, kept.text)
        table.add_row("*" if kept.pinned else "", each.id, records.state(each), *map(escape, cells))
    stdout().print(table if table.row_count else "no such run" if wanted != search.RunFilter() else "no run yet")


def compare(left: Name, right: Name, as_json: AsJson = False) -> None:
    """Show what differs between two runs: parameters, code, machine, stage hashes, figures."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.maintenance import compare as comparing
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    sides = search.find_run(root, left), search.find_run(root, right)
    found = comparing.compare(*sides)
    if as_json:
        print(comparing.to_json(found))
        return
    table = Table("", "", *(escape(side.id) for side in sides), box=box.SIMPLE_HEAD)
    about = ""
    for each in found:
        table.add_row("" if each.about == about else each.about, *map(escape, (each.name, each.left, each.right)))
        about = each.about
    stdout().print(table if found else "the two runs are the same")


def pin(
    run: Name,
    off: Annotated[bool, typer.Option("--off", help="Let go of it.")] = False,
    note: Annotated[str | None, typer.Option("--note", help="Words to keep beside it.")] = None,
) -> None:
    """Keep a run from `bonsai gc`, and say why."""
    from flows.reporting.console import stdout
    from flows.runs import search

    found = search.find_run(settings.project_root(), run)
    kept = search.RunAnnotation(not off, search.read_annotation(found.folder).text if note is None else note)
    search.write_annotation(found.folder, kept)
    stdout().print(f"{found.id} is {'pinned' if kept.pinned else 'no longer pinned'}")


def restore(
    run: Name,
    code: Annotated[bool, typer.Option("--code", help="The run's tasks/ and dvc.yaml too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is saved nowhere else.")] = False,
) -> None:
    """Put a run's parameters and artifacts into the project's own folder."""
    from rich.markup import escape

    from flows.maintenance import restore as restoring
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    found = search.find_run(root, run)
    for line in restoring.restore(root, found, code=code, force=force):
        stdout().print(escape(line), style="yellow", soft_wrap=True)
    stdout().print(f"restored {found.id}")


def gc(
    keep: Annotated[int, typer.Option("--keep", min=0, help="How many of the newest runs stay.")] = 20,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove old runs and what only they need; the newest, the pinned and those under way stay."""
    from flows.maintenance.garbage_collection import collect_garbage
    from flows.reporting.console import stdout

    root, console = settings.project_root(), stdout()
    found = collect_garbage(root, keep=keep, dry_run=dry_run)
    for name in found.runs:
        console.print(f"{'would remove' if dry_run else 'removed'} {name}", style="dim")
    if found.objects_kept_because:
        console.print(found.objects_kept_because, style="yellow", soft_wrap=True)
    what = f"{len(found.runs):,} runs and {len(found.objects):,} objects, {found.freed_bytes / 1e6:,.1f} MB"
    console.print(f"{'would free' if dry_run else 'freed'} {what}")


def push(run: Name, remote: Remote = "") -> None:
    """Send a run, record and artifacts, to a DVC remote."""
    from flows.maintenance import remote as remotes
    from flows.reporting.console import stdout
    from flows.runs import search

    root = settings.project_root()
    found = search.find_run(root, run)
    stdout().print(f"pushed {found.id}: {remotes.push(root, found, remote):,} objects that were not there yet")


def pull(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's whole id; without it, those there are.")] = "",
    remote: Remote = "",
) -> None:
    """Fetch a run that was pushed elsewhere; `bonsai restore` then puts it into the project's own folder."""
    from flows.maintenance import remote as remotes
    from flows.reporting.console import stdout

    root = settings.project_root()
    if not run:
        stdout().print("\n".join(remotes.remote_runs(root, remote)) or "the remote has no run")
        return
    found, count = remotes.pull(root, run, remote)
    stdout().print(f"pulled {found.id}: {count:,} objects that were not here yet")


def verify(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id, its beginning or its end; the newest if none.")
    ] = "newest",
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="How far latencies may be off, as a share.")] = 1.0,
) -> None:
    """Play a run again in a clean clone and say of each stage: identical, within tolerance, or what differs."""
    from rich.markup import escape

    from flows.maintenance import verify as verifying
    from flows.reporting.console import stdout
    from flows.runs import search

    root, console = settings.project_root(), stdout()
    found = search.find_run(root, run)
    colours = {"identical": "green", "within tolerance": "green", "differs": "red", "failed": "red"}

    def say(each: verifying.Verdict) -> None:
        console.print(
            f"{escape(each.stage)}  [{colours[each.state]}]{each.state}[/]  {escape(each.text)}".rstrip(), soft_wrap=True
        )

    console.print(f"playing {found.id} again in a clean clone", style="bold")
    verdicts = verifying.verify(root, found, tolerance=tolerance, on_verdict=say)
    wrong = [each for each in verdicts if each.state not in verifying.VERIFIED]
    if wrong:
        console.print(f"differs at {wrong[0].stage}: {escape(wrong[0].text)}; the clone stays in .bonsai/verify/{found.id}")
    else:
        timed = sum(each.state == "within tolerance" for each in verdicts)
        console.print(f"verified: {len(verdicts) - timed} stages identical, {timed} within {tolerance:.0%} by the clock")
    raise typer.Exit(int(bool(wrong)))


def tune(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Whose parameters.")],
    over: Annotated[
        list[str] | None, typer.Option("--over", metavar="NAME=LOW..HIGH", help="What to try; also NAME=a,b,c. May be repeated.")
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=0, help="How many in all, those of earlier searches included.")
    ] = 20,
    study: Annotated[str, typer.Option("--study", help="A name, to keep searches apart; the use case's if none.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Put the best parameters into params.yaml.")] = False,
) -> None:
    """Look for better parameters on validation rows; go on with an earlier search of that name."""
    from flows import tuning
    from flows.reporting.console import stdout
    from tasks.core.errors import UserError

    root, console = settings.project_root(), stdout()
    spaces = [tuning.parse_space(text) for text in over or ()] or tuning.default_spaces(root, use_case)
    with tuning.open_study(root, use_case, study) as opened:
        tuning.search(
            root, use_case, spaces, trials, study=opened, on_trial=lambda line: console.print(line, markup=False, soft_wrap=True)
        )
        found = tuning.best(opened)
    if found is None:
        raise UserError("no trial was completed; .bonsai/tuning holds their journals")
    values, figure = found
    said = " ".join(f"--set {name}={value}" for name, value in values.items())
    console.print(f"best on validation rows: {figure:.4f} with {said}", markup=False, soft_wrap=True)
    if write:
        tuning.write_params(root, use_case, values)
        console.print("params.yaml has them now")


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Hash every object of the cache, not only some.")] = False,
) -> None:
    """Examine the installation, the cache and the machine, and heal what a kill left behind."""
    from flows.maintenance.doctor import run_checks

    raise typer.Exit(run_checks(settings.project_root(), full=full))


COMMANDS = (runs, compare, pin, restore, gc, push, pull, verify, tune, doctor)
