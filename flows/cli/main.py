"""The command line `bonsai`: run, plan, status, new and stages, and the commands of the other modules of this package."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import chdir, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import settings
from flows.cli import (
    compress_command,
    correct_command,
    history_commands,
    model_commands,
    monitor_command,
    predict_command,
    serve_command,
    service_commands,
    verdict_command,
)
from flows.cli.options import AsJson, Force, Gate, Overrides, Recipes, Seeds, UseCases, VerdictAsJson
from flows.system.limits import disk_fault
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from flows.parameters.run_request import RunRequest
    from flows.reporting.console import ConsoleDisplay
    from flows.runs.run_record import Run

app = typer.Typer(
    name="bonsai",
    help="Build small models that can be verified: raw data in, a compressed model with its measurements out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_CODES = {"Completed": 0, "Cancelled": 130}


@app.command()
def run(
    use_cases: UseCases = None,
    overrides: Overrides = None,
    recipes: Recipes = None,
    seeds: Seeds = None,
    force: Force = False,
    gate: Gate = False,
    as_json: VerdictAsJson = False,
) -> None:
    """Run the pipeline and compare the recipes.

    Unchanged stages are skipped. The run, its parameters and its artifacts are kept in runs/.
    """
    from flows.execution import preflight, request_deduplication
    from flows.parameters import run_request
    from flows.reporting.console import ConsoleDisplay, stderr

    root = settings.project_root()
    request, suggested = _build_request(root, use_cases, recipes, overrides, seeds)
    left_out = [] if use_cases else run_request.unlisted_use_cases(root)
    os.chdir(root)
    settings.apply(root)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # ConsoleDisplay and flow.log report the run
    display = ConsoleDisplay(stderr() if as_json else None)
    ending = partial(_print_outcome, display, gate=gate, as_json=as_json)
    with (
        closing(display),
        request_deduplication.single_flight(
            root, request_deduplication.request_hash(root, request, force=force), display
        ) as joined,
    ):
        if left_out:
            names, first = ", ".join(left_out), left_out[0]
            hint = f"`bonsai run {first}` runs it, `bonsai new {first}` adds it"
            display.message(f"left out, not in params.yaml: {names}; {hint}", "dim")
        for sentence in suggested:
            display.message(sentence)
        for warning in [] if joined else preflight.check(root, request):
            display.message(warning, "yellow")
        finished = joined or _execute(root, display, request, recipes, force, ending)
    raise typer.Exit(ending(finished.record))


def _build_request(
    root: Path, use_cases: list[str] | None, recipes: list[str] | None, overrides: list[str] | None, seeds: int | None
) -> tuple[RunRequest, list[str]]:
    """The checked request, and sentences on what was suggested for the user's own data."""
    from flows.parameters import run_request, suggestions
    from flows.parameters.overrides import parse_overrides, setting_kinds

    values = parse_overrides(overrides or (), setting_kinds(root, use_cases or ()) if overrides else {})
    if seeds is not None:
        values["seeds"] = seeds
    values, suggested = suggestions.for_run(root, use_cases or (), values, cwd=Path.cwd())
    request = run_request.build_request(root, use_cases or (), recipes or (), values, cwd=Path.cwd())
    with chdir(root):
        run_request.check_own_data(request)
    return request, suggested


def _execute(
    root: Path,
    display: ConsoleDisplay,
    request: RunRequest,
    recipes: list[str] | None,
    force: bool,
    ending: Callable[[dict[str, Any]], int],
) -> Run:
    """Execute the run in this process, with a Prefect server of its own when none is running.

    `ending` prints the outcome and returns the exit code, for a run that loses its server and ends the process here.
    """
    from flows.runs import run_record
    from flows.services.prefect_server import start_for_this_process

    server = None
    if not settings.find_server(root):
        display.message("no Prefect server is running here; starting one for this run", "dim")
        server = start_for_this_process(root)
    with settings.import_without_gc():
        from flows.pipeline import ON_SERVER_LOST, SHOW, pipeline
    if server:
        server.wait_until_healthy()

    def exit_now() -> None:
        """End the process without waiting for Prefect's threads, which retry requests to the lost server."""
        code = ending(run_record.find(root, display.run_id).record)
        display.close()
        sys.stdout.flush()
        os._exit(code)

    SHOW.set(display)
    ON_SERVER_LOST.set(exit_now)
    state = pipeline(
        use_cases=list(request.use_cases), recipes=recipes, overrides=request.overrides, force=force, return_state=True
    )
    if not display.run_id:
        raise UserError(f"Prefect could not start the run: {state.message}")
    return run_record.find(root, display.run_id)


def _print_outcome(display: ConsoleDisplay, record: dict[str, Any], *, gate: bool, as_json: bool) -> int:
    """Print results, verdicts, state and duration of the run; returns the exit code for its state, or that of its verdict."""
    import json

    from flows.reporting import results_table, verdicts
    from flows.reporting.console import format_duration
    from flows.runs import run_record

    decisions = verdicts.of_record(record)
    results_table.print_results(record["results"], decisions, display.console)
    took = format_duration(run_record.duration_s(record))
    display.message(
        f"{record['state']} in {took}, in runs/{display.run_id}" + (f": {record['error']}" if record["error"] else "")
    )
    if as_json:
        print(json.dumps(verdicts.as_json(display.run_id, record["state"], decisions), indent=2))
    return verdicts.exit_code(decisions, record["state"]) if gate else EXIT_CODES.get(record["state"], 1)


@app.command()
def plan(
    use_cases: UseCases = None,
    overrides: Overrides = None,
    recipes: Recipes = None,
    seeds: Seeds = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Print what a run would execute, and why.

    Also estimates the duration from earlier runs.
    """
    root = settings.project_root()
    request, suggested = _build_request(root, use_cases, recipes, overrides, seeds)  # before DVC is loaded: a refusal is quick
    from rich.markup import escape

    from flows.execution import plan as planned
    from flows.reporting.console import COLOURS, format_duration, stdout
    from flows.runs import recovery

    recovery.recover(root)
    steps = planned.plan_run(root, request, force=force)
    if as_json:
        print(planned.to_json(steps))
        return
    console = stdout()
    for sentence in suggested:
        console.print(escape(sentence), soft_wrap=True)
    width = max(len(step.name) for step in steps)
    for step in steps:
        reasons = "; ".join(map(str, step.reasons))
        time = format_duration(step.seconds) if step.seconds is not None else ""
        colour = COLOURS.get(step.verdict, "bold")
        console.print(
            f"{escape(step.name):<{width}}  [{colour}]{step.verdict:<9}[/]  {time:>12}  {escape(reasons)}".rstrip(),
            soft_wrap=True,
        )
    timed = [step.seconds for step in steps if step.seconds is not None]
    to_run = sum(step.verdict == "Run" for step in steps)
    untimed = to_run - len(timed)
    estimate = f"about {format_duration(sum(timed))}" + (f" and {untimed} not yet timed" if untimed else "")
    console.print(f"{to_run} of {len(steps)} stages to run, {estimate}")


@app.command()
def status(use_cases: UseCases = None) -> None:
    """Print which stages are up to date.

    Checks the project's own folder; also prints the state of the last run.
    """
    from rich.markup import escape

    from flows.execution import plan as planned
    from flows.parameters import run_request
    from flows.reporting.console import stdout
    from flows.runs import recovery, run_record

    root = settings.project_root()
    console = stdout()
    for line in recovery.recover(root):
        console.print(escape(line), style="yellow")
    request = run_request.build_request(root, use_cases or ())
    if unlisted := sorted(set(request.use_cases) & set(run_request.unlisted_use_cases(root))):
        raise UserError(
            f"params.yaml does not list {unlisted[0]!r}, so the project has no stages of it; `bonsai new {unlisted[0]}` adds it"
        )
    stages = planned.project_status(root, request.use_cases)
    width = max(map(len, stages))
    for name, reasons in stages.items():
        state = f"[yellow]{escape('; '.join(map(str, reasons)))}[/]" if reasons else "[dim]up to date[/]"
        console.print(f"{escape(name):<{width}}  {state}", soft_wrap=True)
    last = next((each for each in run_record.iter_runs(root) if set(request.use_cases) & set(each.record["use_cases"])), None)
    console.print(f"last run: {last.id} {run_record.state(last)}" if last else "no run yet")
    if last and not last.record.get("whole", True):
        folder = last.folder.relative_to(root)
        text = f"it had parameters of its own, so its artifacts are only in {folder}; `bonsai restore {last.id}` copies them here"
        console.print(escape(text), soft_wrap=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the use case: lower-case letters, digits and _.")],
    template: Annotated[
        str, typer.Option("--from", metavar="USE_CASE", help="Use case to copy; without it, NAME must exist and gets a stanza.")
    ] = "",
    overrides: Overrides = None,
) -> None:
    """Create a use case from an existing one.

    Copies its code to tasks/use_cases/NAME and tasks/models/NAME, and adds a stanza to params.yaml.
    """
    from flows.cli.use_case_template import create_use_case
    from flows.parameters import suggestions
    from flows.parameters.overrides import parse_overrides, setting_kinds
    from flows.reporting.console import stdout

    root = settings.project_root()
    values = parse_overrides(overrides or (), setting_kinds(root, [template or name]))
    written, suggested = create_use_case(root, name, template, values, cwd=Path.cwd())
    lines = [f"wrote {', '.join(written)}; `bonsai run {name}` runs it"]
    if suggested.reason:
        lines.append(suggestions.described(suggested))
    stdout().print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


@app.command()
def stages() -> None:
    """List the stages of the pipeline.

    Prints what each one does and which stages it depends on.
    """
    from rich import box
    from rich.table import Table

    from flows.dvc_state.stage_graph import load_stages
    from flows.reporting.console import stdout

    root = settings.project_root()
    with chdir(root):
        all_stages = load_stages(root)
    table = Table("stage", "what it does", "depends on", "for each", box=box.SIMPLE_HEAD)
    verbs = {stage.verb: stage for stage in all_stages.values()}
    for verb, stage in verbs.items():
        needs = dict.fromkeys(all_stages[need].verb for each in all_stages.values() if each.verb == verb for need in each.needs)
        each = ["use case", *["recipe"] * bool(stage.recipe), *["seed"] * bool(stage.seed)]
        table.add_row(verb, stage.desc, ", ".join(needs), " and ".join(each))
    stdout().print(table)


for command in (
    compress_command.compress,
    verdict_command.verdict,
    predict_command.predict,
    serve_command.serve,
    monitor_command.monitor,
    correct_command.correct,
    *model_commands.COMMANDS,
    *service_commands.COMMANDS,
    *history_commands.COMMANDS,
):
    app.command()(command)
app.add_typer(service_commands.schedules)


def main() -> None:
    """Run the command line. A `UserError` is printed on one line and gives exit code 2."""
    settings.bypass_proxies()
    try:
        app()
    except (OSError, sqlite3.OperationalError) as error:
        if not disk_fault(error):
            raise
        print(f"error: {disk_fault(error)}", file=sys.stderr)
        sys.exit(1)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
