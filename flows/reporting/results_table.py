"""The table a person came for: dense against its smaller versions, and which one keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks.core.compression import DENSE, EAGER

Row = Mapping[str, Any]


def print_results(results: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Table, rivals and verdict of each use case's release, as run records keep them."""
    for use_case, release in results.items():
        found = release.get("table", {})
        rows = found.get("rows", [])
        if rows:
            console.print(build_table(use_case, rows))
        for rival in found.get("baselines", []):
            scores = "  ".join(f"{name} {value:.4g}" for name, value in list(rival.get("scores", {}).items())[:1])
            console.print(f"{escape(rival['name'])}: {scores}", style="dim")
        if machine := found.get("machine", {}):
            about = ", ".join(str(machine[part]) for part in ("cpu", "capability") if machine.get(part))
            console.print(f"test rows, 95 % intervals; {found.get('threads', '?')} thread(s) on {escape(about)}", style="dim")
        if reason := release.get("verdict", {}).get("reason"):
            console.print(f"{escape(use_case)}: {escape(str(reason))}", style="bold", soft_wrap=True)


def table_cells(rows: list[Row]) -> list[dict[str, str]]:
    """The rows in words, with those columns that any of them fills."""
    metric = next((str(row["metric"]) for row in rows if row.get("metric")), "value")
    columns = {name.format(metric=metric): [column(row) for row in rows] for name, column in COLUMNS.items()}
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    return [dict(zip(filled, cells, strict=True)) for cells in zip(*filled.values(), strict=True)]


def build_table(title: str, rows: list[Row]) -> Table:
    """The rows as a table for a terminal."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    found = table_cells(rows)
    for name in found[0]:
        table.add_column(escape(name), justify="left" if name in ("recipe", "contract") else "right", no_wrap=name == "recipe")
    for row, cells in zip(rows, found, strict=True):
        table.add_row(*map(escape, cells.values()), style="bold green" if row.get("chosen") else "")
    return table


def format_interval(found: Any, form: str) -> str:
    """`0.98 (0.97..0.99)` of value or ratio with low and high; empty for nothing."""
    if not isinstance(found, Mapping):
        return ""
    value = found.get("value", found.get("ratio"))
    if value is None:
        return ""
    span = f" ({found['low']:{form}}..{found['high']:{form}})" if found.get("low") is not None else ""
    return f"{value:{form}}{span}"


def _latency(row: Row, batch: str) -> str:
    found = row.get("latency_ms", {}).get(batch, {}).get("median_ms")
    return f"{found:.3g}" if found is not None else ""


def _speedup(row: Row, other: str) -> str:
    return format_interval(row.get("speedup_over", {}).get(other, {}).get("1"), ".2f")


def _contract(row: Row) -> str:
    return "chosen" if row.get("chosen") else str(row.get("status", ""))


COLUMNS: dict[str, Callable[[Row], str]] = {
    "recipe": lambda row: str(row.get("recipe", "")),
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
