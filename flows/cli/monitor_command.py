"""The command `bonsai monitor`: one look at the request log of each use case."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import settings
from flows.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_STATISTICS = 8


def monitor(
    use_cases: Annotated[
        list[str] | None, typer.Argument(metavar="USE_CASE", help="Use cases; without one, all with a request log.")
    ] = None,
    as_json: AsJson = False,
    acknowledge: Annotated[
        str, typer.Option("--acknowledge", metavar="WHY", help="Close the open alarms, with the reason for it.")
    ] = "",
) -> None:
    """Look for drift, slow and failed requests, and compare the challenger.

    Takes what is new in the request log into account and prints a table. The exit code is 1 while an alarm is open.
    """
    from flows.monitoring import alarms, references
    from flows.monitoring.follow_up import follow_up
    from flows.monitoring.one_pass import look
    from flows.reporting.console import stdout

    root = settings.project_root()
    names = use_cases or with_logs()
    reports = []
    for name in names:
        if acknowledge:
            count = alarms.acknowledge(root, name, references.champion_name(root, name), acknowledge)
            stdout().print(f"{name}: closed {count} alarm{'s' * (count != 1)}", markup=False, highlight=False)
        report = look(root, name)
        report["done"] = follow_up(root, name, report, start_run)
        reports.append(report)
    if as_json:
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    else:
        for report in reports:
            print_report(stdout(), report)
    raise typer.Exit(1 if any(report["alarms"] for report in reports) else 0)


def start_run(use_case: str, overrides: dict[str, Any]) -> str:
    """Request a run from the project's Prefect server; raises a `UserError` when there is none."""
    from tasks.core.errors import UserError

    if not settings.find_server(settings.project_root()):
        raise UserError("no Prefect server is running here; start `bonsai up` in another terminal")
    from flows import monitor as watching

    return watching.start_run(use_case, overrides)


def with_logs() -> list[str]:
    """The use cases with a request log; raises a `UserError` if there are none."""
    from flows.request_log.records import FOLDER, REQUESTS
    from tasks.core.errors import UserError

    root = settings.project_root()
    names = sorted(path.parent.name for path in (root / FOLDER).glob(f"*/{REQUESTS}"))
    if not names:
        raise UserError("no requests were recorded yet; `bonsai serve` records them")
    return names


def print_report(console: Console, report: dict[str, Any]) -> None:
    """The figures of a look: requests, limits, labels, the challenger, and the statistics with the most evidence."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    def say(text: str, style: str = "") -> None:
        console.print(escape(text), soft_wrap=True, highlight=False, style=style)

    latency = report["recent"]["latency_ms"]
    times = ", ".join(f"{name} {value:g} ms" for name, value in latency.items()) or "no recent ones"
    say(f"{report['model']}: {report['requests']:,} requests, {report['rows']:,} answers; latency {times}", "bold")
    for limit in report["limits"]:
        mean = "no requests" if limit["mean"] is None else f"{limit['mean']:.2%}"
        say(f"{limit['name']}: {mean}, {limit['limit']:.2%} allowed", "red" if limit["alarm"] else "dim")
    labels = report["feedback"]
    if labels["rows"]:
        say(f"right: {labels['accuracy']:.4f} ({labels['low']:.4f}..{labels['high']:.4f}) of {labels['rows']:,} labelled answers")
    if shadow := report["shadow"]:
        say(
            f"{shadow['challenger']} against {shadow['champion']}: {shadow['difference']:+.4f} "
            f"({shadow['low']:+.4f}..{shadow['high']:+.4f}) on {shadow['rows']:,} labelled answers, {shadow['outcome']}"
        )
    if missing := report["reference"].get("missing"):
        say(missing, "yellow")
    else:
        table = Table("statistic", "evidence", "", box=box.SIMPLE_HEAD)
        for each in report["statistics"][:SHOWN_STATISTICS]:
            state = "[red]drift[/]" if each["alarm"] else ""
            table.add_row(escape(each["name"]), f"{each['evidence']:.1f} of {report['threshold']:.1f}", state)
        console.print(table)
    for alarm in report["alarms"]:
        say(f"alarm since {alarm['at']}: {alarm['message']}", "red")
    for line in report["done"]:
        say(line, "yellow")
