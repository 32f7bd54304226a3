"""The part of the command line that is about what runs by itself: up, and schedules with all that can be done to one."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import settings

schedules = typer.Typer(name="schedules", help="When deployments run by themselves.", no_args_is_help=False)
Name = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="As `bonsai schedules` lists it, such as vision-nightly.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, for this run only.")]


def up(
    port: Annotated[int, typer.Option("--port", help="Of Prefect's server; another if it is taken.")] = 4200,
    dashboard_port: Annotated[int, typer.Option("--dashboard-port", help="Of the dashboard; another if it is taken.")] = 8501,
) -> None:
    """Start Prefect's server, the deployments and the dashboard, on this machine only; one Ctrl-C ends them all."""
    from flows.services.supervisor import up as live

    raise typer.Exit(live(settings.project_root(), port, dashboard_port))


@schedules.callback(invoke_without_command=True)
def list_schedules(context: typer.Context) -> None:
    """List the deployments and when they run; or pause, resume, set or trigger one."""
    if context.invoked_subcommand:
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.reporting.console import stdout
    from flows.services.schedules import schedule_client

    table = Table("deployment", "when", "timezone", "state", "next", box=box.SIMPLE_HEAD)
    with schedule_client(settings.project_root()) as found:
        for each in found.all():
            due = f"{each.due:%Y-%m-%d %H:%M} UTC" if each.due else ""
            table.add_row(escape(each.name), escape(each.when or "when asked"), escape(each.timezone), each.state, due)
    stdout().print(table)


@schedules.command()
def pause(name: Name) -> None:
    """Run it no more by itself, until it is resumed."""
    from flows.services.schedules import schedule_client

    with schedule_client(settings.project_root()) as found:
        found.pause(name)
    print(f"{name} is paused; `bonsai schedules resume {name}` lets it run again")


@schedules.command()
def resume(name: Name) -> None:
    """Let it run by its schedule again."""
    from flows.services.schedules import schedule_client

    with schedule_client(settings.project_root()) as found:
        found.resume(name)
    print(f"{name} runs by its schedule again")


@schedules.command("set")
def set_schedule(
    name: Name,
    cron: Annotated[str, typer.Option(help='Such as "0 3 * * *".')] = "",
    every: Annotated[str, typer.Option(help="Such as 30m, 6h or 1d.")] = "",
    rrule: Annotated[str, typer.Option(help='Such as "FREQ=WEEKLY;BYDAY=MO".')] = "",
    timezone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
) -> None:
    """Change when it runs; what was set before no longer counts."""
    from flows.services.schedules import parse_timing, schedule_client

    timing = parse_timing(cron, every, rrule, timezone)
    with schedule_client(settings.project_root()) as found:
        print(f"{name} runs {found.set(name, timing)} ({timezone})")


@schedules.command()
def trigger(name: Name, overrides: Sets = None) -> None:
    """Ask for a run of it now; `bonsai runs` shows what becomes of it."""
    from flows.parameters.run_request import parse_overrides
    from flows.services.schedules import schedule_client

    with schedule_client(settings.project_root()) as found:
        run_name, run_id = found.trigger(name, parse_overrides(overrides or ()))
    print(f"asked for {run_name} ({run_id})")


COMMANDS = (up,)
