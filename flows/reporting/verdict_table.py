"""The verdicts of a run on the console: word and sentence of each use case, and the terms of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.reporting.verdicts import Candidate, Verdict

COLOURS = {"released": "bold green", "refused": "bold red", "inconclusive": "bold yellow", "error": "bold red", "": "dim"}
SMALLEST_P = 0.0001


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Word and sentence on one line; a second one names the nearest candidate and what it needs, if the sentence does not."""
    console.print(f"{escape(verdict.use_case)}: {escape(verdict.line)}", style=COLOURS[verdict.word], soft_wrap=True)
    nearest = verdict.nearest
    if nearest and verdict.word == "inconclusive" and not (verdict.needs and verdict.needs in verdict.sentence):
        needs = f"; {verdict.needs} would decide" if verdict.needs else ""
        console.print(escape(f"nearest: {nearest.recipe!r}{needs}"), style="dim", soft_wrap=True)


def print_candidates(verdict: Verdict, console: Console) -> None:
    """A table with a row per candidate and term; nothing where there is no candidate."""
    if not verdict.candidates:
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("candidate", "term", "value", "bound", "allowed", "p", "status"):
        right = column in ("value", "bound", "allowed", "p")
        table.add_column(column, justify="right" if right else "left", no_wrap=column in ("candidate", "term"))
    for candidate in verdict.candidates:
        style = "green" if candidate.recipe == verdict.released else ""
        for cells in candidate_cells(candidate):
            table.add_row(*map(escape, cells), style=style)
    console.print(table)


def candidate_cells(candidate: Candidate) -> list[Sequence[str]]:
    """The cells of one candidate: its own p-value and status first, then one row per term."""
    title = f"{candidate.recipe} (classic)" if candidate.is_classic else candidate.recipe
    p = candidate.adjusted_p if candidate.tried and candidate.adjusted_p is not None else candidate.p
    rows: list[Sequence[str]] = [(title, "", "", "", "", p_text(p), candidate.status)]
    for term in candidate.terms:
        numbers = map(number_text, (term.value, term.bound, term.allowed))
        rows.append(("", term.name, *numbers, p_text(term.p), term.status))
    return rows


def number_text(value: Any) -> str:
    """A number with four decimals, a large one with separators; other values as they are, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}" if abs(value) < 1e4 else f"{value:,.0f}"


def p_text(p: Any) -> str:
    """A p-value with four decimals, a smaller one as an upper bound."""
    if not isinstance(p, int | float):
        return ""
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.4f}"
