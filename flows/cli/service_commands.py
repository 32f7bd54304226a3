"""Commands for long-lived processes: `up`, and `schedules` with its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import settings
from flows.cli.options import Deployment, Overrides

schedules = typer.Typer(name="schedules", no_args_is_help=False)


def up(
    port: Annotated[int, typer.Option("--port", help="Port of the Prefect server; if taken, any free one.")] = 4200,
    dashboard_port: Annotated[
        int, typer.Option("--dashboard-port", help="Port of the dashboard; if taken, any free one.")
    ] = 8501,
    serve_port: Annotated[int, typer.Option("--serve-port", help="Port of the models; if taken, any free one.")] = 8080,
) -> None:
    """Start dashboard, server, schedules and models.

    Starts the dashboard, the Prefect server, the deployment runner and, once there is a model, `bonsai serve` on this machine;
    Ctrl-C stops them all.
    """
    from flows.services import supervisor

    raise typer.Exit(supervisor.up(settings.project_root(), port, dashboard_port, serve_port))


@schedules.callback(invoke_without_command=True)
def list_schedules(context: typer.Context) -> None:
    """List or change the schedules.

    Without a subcommand, lists the deployments with their schedules and next runs.
    """
    if context.invoked_subcommand:
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.reporting.console import stdout
    from flows.services.schedules import schedule_client

    table = Table("deployment", "schedule", "timezone", "state", "next run", box=box.SIMPLE_HEAD)
    with schedule_client(settings.project_root()) as client:
        for each in client.deployments():
            next_run = f"{each.next_run:%Y-%m-%d %H:%M} UTC" if each.next_run else ""
            table.add_row(escape(each.name), escape(each.schedule or "on demand"), escape(each.timezone), each.state, next_run)
    stdout().print(table)


@schedules.command()
def pause(name: Deployment) -> None:
    """Pause the schedule until it is resumed."""
    from flows.services.schedules import schedule_client

    with schedule_client(settings.project_root()) as client:
        client.pause(name)
    print(f"{name} is paused; `bonsai schedules resume {name}` resumes it")


@schedules.command()
def resume(name: Deployment) -> None:
    """Resume a paused schedule."""
    from flows.services.schedules import schedule_client

    with schedule_client(settings.project_root()) as client:
        client.resume(name)
    print(f"{name} is resumed")


@schedules.command("set")
def set_schedule(
    name: Deployment,
    cron: Annotated[str, typer.Option(help='Cron expression, such as "0 3 * * *".')] = "",
    every: Annotated[str, typer.Option(help="Interval, such as 30m, 6h or 1d.")] = "",
    rrule: Annotated[str, typer.Option(help='iCalendar rule, such as "FREQ=WEEKLY;BYDAY=MO".')] = "",
    timezone: Annotated[str, typer.Option(help="IANA time zone, such as Europe/Berlin.")] = "UTC",
) -> None:
    """Replace the schedule by one of --cron, --every and --rrule."""
    from flows.services.schedules import parse_timing, schedule_client

    timing = parse_timing(cron, every, rrule, timezone)
    with schedule_client(settings.project_root()) as client:
        print(f"{name} now runs {client.set(name, timing)} ({timezone})")


@schedules.command()
def trigger(name: Deployment, overrides: Overrides = None) -> None:
    """Request a run now; `bonsai runs` shows its state."""
    from flows.parameters.overrides import parse_overrides, setting_kinds
    from flows.services.schedules import schedule_client

    root = settings.project_root()
    with schedule_client(root) as client:
        run_name, run_id = client.trigger(name, parse_overrides(overrides or (), setting_kinds(root, ())))
    print(f"requested {run_name} ({run_id})")


COMMANDS = (up,)
