"""The results table of a run: dense compared with every recipe, and which model the contract chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.reporting.verdict_table import print_verdict
from flows.reporting.verdicts import Verdict
from tasks.core.compression import DENSE, EAGER

Row = Mapping[str, Any]


def print_results(results: Mapping[str, Mapping[str, Any]], verdicts: Sequence[Verdict], console: Console) -> None:
    """Print table and baselines of each use case's release, and its verdict; `results` comes from a run record."""
    for verdict in verdicts:
        use_case, table = verdict.use_case, results.get(verdict.use_case, {}).get("table", {})
        rows = table.get("rows", [])
        if rows:
            console.print(build_table(use_case, rows))
        for baseline in table.get("baselines", []):
            scores = "  ".join(f"{name} {value:.4g}" for name, value in list(baseline.get("scores", {}).items())[:1])
            console.print(f"{escape(baseline['name'])}: {scores}", style="dim")
        if machine := table.get("machine", {}):
            cpu = ", ".join(str(machine[part]) for part in ("cpu", "capability") if machine.get(part))
            threads = table.get("threads", "?")
            console.print(f"test rows, 95 % confidence intervals; {threads} thread(s) on {escape(cpu)}", style="dim")
        if verdict.word:
            print_verdict(verdict, console)


def table_cells(rows: list[Row]) -> list[dict[str, str]]:
    """The cells of each row as text, by column; columns that are empty in all rows are left out."""
    metric = next((str(row["metric"]) for row in rows if row.get("metric")), "value")
    columns = {name.format(metric=metric): [column(row) for row in rows] for name, column in COLUMNS.items()}
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def build_table(title: str, rows: list[Row]) -> Table:
    """The rows as a table for the terminal; the chosen row is green."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    cells_by_row = table_cells(rows)
    for name in cells_by_row[0]:
        table.add_column(escape(name), justify="left" if name in ("recipe", "contract") else "right", no_wrap=name == "recipe")
    for row, cells in zip(rows, cells_by_row, strict=True):
        table.add_row(*map(escape, cells.values()), style="bold green" if row.get("chosen") else "")
    return table


def format_interval(estimate: Any, form: str) -> str:
    """An estimate as text, such as `0.98 (0.97..0.99)`; empty without one.

    `estimate` holds `value` or `ratio`, and `low` and `high` of its confidence interval.
    """
    if not isinstance(estimate, Mapping):
        return ""
    value = estimate.get("value", estimate.get("ratio"))
    if value is None:
        return ""
    interval = f" ({estimate['low']:{form}}..{estimate['high']:{form}})" if estimate.get("low") is not None else ""
    return f"{value:{form}}{interval}"


def _latency(row: Row, batch: str) -> str:
    median_ms = row.get("latency_ms", {}).get(batch, {}).get("median_ms")
    return f"{median_ms:.3g}" if median_ms is not None else ""


def _speedup(row: Row, other: str) -> str:
    return format_interval(row.get("speedup_over", {}).get(other, {}).get("1"), ".2f")


def _name(row: Row) -> str:
    return f"{row.get('recipe', '')}{' (classic)' if row.get('kind') == 'baseline' else ''}"


def _contract(row: Row) -> str:
    return "chosen" if row.get("chosen") else str(row.get("status", ""))


COLUMNS: dict[str, Callable[[Row], str]] = {
    "recipe": _name,
    "{metric}": lambda row: format_interval(row, ".4f"),
    "drop": lambda row: format_interval(row.get("drop"), "+.4f"),
    "kB": lambda row: f"{row['bytes'] / 1000:,.1f}" if "bytes" in row else "",
    "of dense": lambda row: f"{row['size_share']:.1%}" if "size_share" in row else "",
    "ms, batch 1": lambda row: _latency(row, "1"),
    "ms, batch 64": lambda row: _latency(row, "64"),
    "x dense": lambda row: _speedup(row, DENSE),
    "x eager": lambda row: _speedup(row, EAGER),
    "contract": _contract,
}
