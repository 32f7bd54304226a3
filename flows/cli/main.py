"""`bonsai`, the command line: run, plan, status, new, stages, what runs by itself, and what is kept of the runs there were."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import settings
from flows.cli import history_commands, service_commands
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest
    from flows.reporting.console import ConsoleDisplay
    from flows.runs.run_record import Run

app = typer.Typer(
    name="bonsai",
    help="Grow small models that can be trusted: raw data in, a compressed model with proof out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UseCases = Annotated[
    list[str] | None, typer.Argument(metavar="[USE_CASE]...", help="Which use cases; all of params.yaml if none.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, for this run only.")]
Recipes = Annotated[list[str] | None, typer.Option("--recipe", metavar="RECIPE", help="Only this recipe, besides dense.")]
Force = Annotated[bool, typer.Option("--force", help="Play every stage, whether or not it changed.")]

EXIT_CODES = {"Completed": 0, "Cancelled": 130}


@app.command()
def run(use_cases: UseCases = None, overrides: Sets = None, recipes: Recipes = None, force: Force = False) -> None:
    """Grow a small model for each use case and show how the recipes compare."""
    from flows.execution import request_deduplication
    from flows.parameters import run_request
    from flows.reporting.console import ConsoleDisplay

    root, cwd = settings.project_root(), Path.cwd()
    asked = run_request.build_request(root, use_cases or (), recipes or (), run_request.parse_overrides(overrides or ()), cwd=cwd)
    left = [] if use_cases else run_request.unlisted_use_cases(root)
    os.chdir(root)
    settings.apply(root)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # the run's own screen and flow.log say it all
    screen = ConsoleDisplay()
    with (
        closing(screen),
        request_deduplication.alone(root, request_deduplication.request_hash(root, asked, force=force), screen) as joined,
    ):
        if left:
            names, one = ", ".join(left), left[0]
            screen.message(
                f"{names} left out: not in params.yaml; `bonsai run {one}` runs it, `bonsai new {one}` lists it", "dim"
            )
        if joined is None:
            made = _make_run(root, screen, asked, recipes, force)
    raise typer.Exit(_show_end(screen, (joined or made).record))


def _make_run(root: Path, screen: ConsoleDisplay, asked: RunRequest, recipes: list[str] | None, force: bool) -> Run:
    """Play it in this process."""
    from flows.runs import run_record
    from flows.services.prefect_server import start_for_this_process

    server = None
    if not settings.find_server(root):
        screen.message("no Prefect server runs here; starting one for this run", "dim")
        server = start_for_this_process(root)
    with settings.import_without_gc():
        from flows.pipeline import SHOW, UNHEARD, pipeline
    if server:
        server.wait_until_healthy()

    def leave() -> None:
        """Now, and not when Prefect's threads have given up telling a server that is gone."""
        code = _show_end(screen, run_record.find(root, screen.run_id).record)
        screen.close()
        sys.stdout.flush()
        os._exit(code)

    SHOW.set(screen)
    UNHEARD.set(leave)
    state = pipeline(use_cases=list(asked.use_cases), recipes=recipes, overrides=asked.overrides, force=force, return_state=True)
    if not screen.run_id:
        raise UserError(f"Prefect could not start the run: {state.message}")
    return run_record.find(root, screen.run_id)


def _show_end(screen: ConsoleDisplay, record: dict[str, Any]) -> int:
    """Say how the run went; gives the exit code that says the same."""
    from flows.reporting import results_table
    from flows.reporting.console import format_duration
    from flows.runs import run_record

    results_table.print_results(record["results"], screen.console)
    took = format_duration(run_record.seconds(record))
    screen.message(f"{record['state']} in {took}, in runs/{screen.run_id}" + (f": {record['error']}" if record["error"] else ""))
    return EXIT_CODES.get(record["state"], 1)


@app.command()
def plan(
    use_cases: UseCases = None,
    overrides: Sets = None,
    recipes: Recipes = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
) -> None:
    """Say what a run would do and why, and about how long it would take."""
    from rich.markup import escape

    from flows.execution import plan as planned
    from flows.parameters import run_request
    from flows.reporting.console import COLOURS, format_duration, stdout
    from flows.runs import recovery

    root = settings.project_root()
    recovery.recover(root)
    asked = run_request.build_request(
        root, use_cases or (), recipes or (), run_request.parse_overrides(overrides or ()), cwd=Path.cwd()
    )
    steps = planned.plan(root, asked, force=force)
    if as_json:
        print(planned.as_json(steps))
        return
    console = stdout()
    width = max(len(step.name) for step in steps)
    for step in steps:
        why = "; ".join(map(str, step.reasons))
        time = format_duration(step.seconds) if step.seconds is not None else ""
        colour = COLOURS.get(step.verdict, "bold")
        console.print(
            f"{escape(step.name):<{width}}  [{colour}]{step.verdict:<9}[/]  {time:>12}  {escape(why)}".rstrip(), soft_wrap=True
        )
    known = [step.seconds for step in steps if step.seconds is not None]
    unknown = sum(step.verdict == "Run" for step in steps) - len(known)
    about = f"about {format_duration(sum(known))} of work" + (f" and {unknown} not yet timed" if unknown else "")
    console.print(f"{sum(step.verdict == 'Run' for step in steps)} of {len(steps)} stages to run, {about}")


@app.command()
def status(use_cases: UseCases = None) -> None:
    """Say which stages of the project's own folder are up to date, and how the last run went."""
    from rich.markup import escape

    from flows.execution import plan as planned
    from flows.parameters import run_request
    from flows.reporting.console import stdout
    from flows.runs import recovery, run_record

    root = settings.project_root()
    console = stdout()
    for line in recovery.recover(root):
        console.print(escape(line), style="yellow")
    asked = run_request.build_request(root, use_cases or ())
    if absent := sorted(set(asked.use_cases) & set(run_request.unlisted_use_cases(root))):
        raise UserError(
            f"params.yaml does not list {absent[0]!r}, so the project has no stages of it; `bonsai new {absent[0]}` lists it"
        )
    found = planned.status(root, asked.use_cases)
    width = max(map(len, found))
    for name, reasons in found.items():
        said = f"[yellow]{escape('; '.join(map(str, reasons)))}[/]" if reasons else "[dim]up to date[/]"
        console.print(f"{escape(name):<{width}}  {said}", soft_wrap=True)
    last = next((each for each in run_record.iter_runs(root) if set(asked.use_cases) & set(each.record["use_cases"])), None)
    console.print(f"last run: {last.id} {run_record.state(last)}" if last else "no run yet")
    if last and not last.record.get("whole", True):
        where, words = last.folder.relative_to(root), "it had settings of its own, so what it made is in"
        console.print(escape(f"{words} {where}; `bonsai restore {last.id}` brings it here"), soft_wrap=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What it is called: small letters, digits and _.")],
    template: Annotated[str, typer.Option("--from", metavar="USE_CASE", help="The use case to begin from.")] = "",
    overrides: Sets = None,
) -> None:
    """Begin a use case of your own: one file to edit, and its stanza in params.yaml."""
    from flows.cli.use_case_template import begin
    from flows.parameters import run_request
    from flows.reporting.console import stdout

    root = settings.project_root()
    written = begin(root, name, template, run_request.parse_overrides(overrides or ()), cwd=Path.cwd())
    stdout().print(f"wrote {', '.join(written)}; `bonsai run {name}` runs it", soft_wrap=True, markup=False, highlight=False)


@app.command()
def stages() -> None:
    """Show the score: every stage, what it does and what it needs."""
    from rich import box
    from rich.table import Table

    from flows.dvc_state.stage_graph import load_stages
    from flows.dvc_state.stage_state import working_directory
    from flows.reporting.console import stdout

    root = settings.project_root()
    with working_directory(root):
        found = load_stages(root)
    table = Table("stage", "what it does", "needs", "for each", box=box.SIMPLE_HEAD)
    verbs = {stage.verb: stage for stage in found.values()}
    for verb, stage in verbs.items():
        needs = dict.fromkeys(found[need].verb for each in found.values() if each.verb == verb for need in each.needs)
        table.add_row(verb, stage.desc, ", ".join(needs), "use case and recipe" if stage.recipe else "use case")
    stdout().print(table)


for command in (*service_commands.COMMANDS, *history_commands.COMMANDS):
    app.command()(command)
app.add_typer(service_commands.schedules)


def main() -> None:
    """Say a person's mistake in one line and end with 2."""
    try:
        app()
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
