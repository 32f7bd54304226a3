"""The command `bonsai compress`: search recipes for a use case."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from flows import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from flows.recipe_search.trial_results import Tried
    from tasks.core.settings import Contract


def compress(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose dense model is compressed.")],
    budget: Annotated[
        str,
        typer.Option("--budget", metavar="TIME", help="How long recipes are tried, such as 30m or 2h; 0m shows what was found."),
    ] = "30m",
    write: Annotated[
        str,
        typer.Option("--write", metavar="NAME", help="Write a recipe to params.yaml by this name: the best under the contract."),
    ] = "",
    number: Annotated[
        int | None,
        typer.Option("--number", metavar="N", min=1, help="With --write, the recipe with this number in the table instead."),
    ] = None,
) -> None:
    """Search recipes: students, pruning, bits and formats.

    Prints those of which no other is more accurate, faster and smaller. Validation rows alone are read; a search that was
    stopped, by its budget or by Ctrl-C, goes on where it was.
    """
    from flows.recipe_search import search, trial_results
    from flows.reporting.console import ConsoleDisplay, stdout
    from flows.system.file_locks import hold_lock
    from tasks.core import params_file
    from tasks.core.errors import UserError

    root, console = settings.project_root(), stdout()
    budget_s = parse_budget(budget)
    if number and not write:
        raise UserError("--number says which recipe --write writes; add --write NAME")
    if write:
        search.check_name(root, write)
    contract = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).contract
    with hold_lock(root / ".bonsai" / "locks" / f"recipes-{use_case}", on_wait=_announce_once(console, use_case)):
        show = ConsoleDisplay(console)
        try:
            workplace = search.prepare(root, use_case, show)
        finally:
            show.close()
        stopped = False
        try:
            if budget_s:
                with search.open_study(root, use_case, workplace) as study:
                    search.search(workplace, use_case, budget_s, study=study, show=_Lines(console, time.monotonic() + budget_s))
        except KeyboardInterrupt:
            stopped = True
            console.print("stopped", style="yellow")
        tried = trial_results.read_tried(workplace.results)
        if not tried:
            again = f"`bonsai compress {use_case}` goes on from here"
            console.print(f"no recipe was tried with all of its epochs yet; {again}", markup=False, soft_wrap=True)
            raise typer.Exit(130 if stopped else 2)
        path = search.save_front(root, use_case, tried)
    _print_front(console, use_case, tried, contract)
    console.print(
        f"{len(tried)} recipes tried in full, on validation rows; {path.relative_to(root)}", markup=False, soft_wrap=True
    )
    if write:
        _write(root, console, use_case, write, chosen(tried, contract, number))
    elif not stopped:
        console.print(
            f"`bonsai compress {use_case} --budget 0m --write NAME --number N` writes number N to params.yaml", markup=False
        )
    if stopped:
        raise typer.Exit(130)


class _Lines:
    """Prints the progress of a search, one line per trial."""

    def __init__(self, console: Console, deadline: float) -> None:
        self.console, self.deadline = console, deadline

    def rung(self, recipes: int, effort: float) -> None:
        from flows.reporting.console import format_duration

        left = format_duration(max(0.0, self.deadline - time.monotonic()))
        share = "all" if effort == 1 else f"{effort:.0%}"
        self.console.print(f"{recipes} recipe{'s' * (recipes != 1)} with {share} of the epochs, {left} left", style="bold")

    def trial(self, done: int, recipes: int, line: str) -> None:
        self.console.print(f"  {done} of {recipes}: {line}", markup=False, soft_wrap=True)


def _announce_once(console: Console, use_case: str) -> Callable[[], None]:
    """A function that prints, when it is called first, that another search is waited for."""
    announced: list[bool] = []

    def on_wait() -> None:
        if not announced:
            announced.append(True)
            console.print(f"another search for {use_case} is running; waiting for it", style="yellow", markup=False)

    return on_wait


def chosen(tried: Sequence[Tried], contract: Contract, number: int | None) -> Tried:
    """The recipe with this number in the front, from 1, or else the best under the contract. Raises `UserError` if none is."""
    from flows.recipe_search import trial_results
    from tasks.core.errors import UserError

    front = trial_results.front(tried)
    if number and number > len(front):
        raise UserError(f"--number {number}: the table has {len(front)} recipes")
    best = front[number - 1] if number else trial_results.best_under(contract, tried)
    if best is None:
        raise UserError("no recipe keeps the contract as measured on validation rows; choose one by --number, or search longer")
    return best


def _print_front(console: Console, use_case: str, tried: Sequence[Tried], contract: Contract) -> None:
    from rich import box
    from rich.table import Table

    from flows.recipe_search import trial_results

    best = trial_results.best_under(contract, tried)
    table = Table("", "drop", "bytes", "of dense", "ms", "x dense", "recipe", box=box.SIMPLE)
    for place, one in enumerate(trial_results.front(tried), start=1):
        result = one.result
        table.add_row(
            f"{place}{' best' * (one == best)}",
            f"{result.drop:+.4f} ({result.drop_low:+.4f}..{result.drop_high:+.4f})",
            f"{result.bytes:,}",
            f"{result.size_share:.3f}",
            f"{result.ms:.4f}",
            f"{result.speedup:.2f} ({result.speedup_low:.2f}..{result.speedup_high:.2f})",
            trial_results.steps_text(one.recipe),
        )
    console.print(table)
    terms = (
        f"at most {contract.max_drop:.4f} lost, {contract.min_speedup:g} times dense, {contract.max_size_share:g} of its bytes"
    )
    if best is None:
        console.print(f"none keeps the contract as measured on validation rows: {terms}", markup=False, soft_wrap=True)
    else:
        console.print(
            f"best: the smallest and fastest that keeps the contract on validation rows: {terms}", markup=False, soft_wrap=True
        )


def _write(root: Path, console: Console, use_case: str, name: str, one: Tried) -> None:
    from flows.recipe_search import search, trial_results

    search.write_recipe(root, name, one.recipe)
    steps = trial_results.steps_text(one.recipe)
    console.print(
        f"written to params.yaml as {name!r}: {steps}; `bonsai run {use_case}` decides on test rows",
        markup=False,
        soft_wrap=True,
    )


def parse_budget(text: str) -> float:
    """`90s`, `30m`, `2h` or `1d` in seconds; 0 for `0m`. Raises `UserError` for anything else."""
    from tasks.core.errors import UserError

    match = re.fullmatch(r"(\d+)\s*([smhd])", text.strip())
    if not match:
        raise UserError(f"--budget {text!r} is no time; write 90s, 30m, 2h or 1d")
    return float(int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]])


COMMANDS = (compress,)
