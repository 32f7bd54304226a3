"""The command `bonsai compress`: search recipes for a use case."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from flows import settings


def compress(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose dense model is compressed.")],
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="How long recipes are tried, such as 30m or 2h; 1d for a day.")
    ] = "30m",
    write: Annotated[
        str, typer.Option("--write", metavar="NAME", help="Write the best recipe under the contract to params.yaml by this name.")
    ] = "",
) -> None:
    """Search recipes: students, pruning, bits and formats.

    Prints those of which no other is more accurate, faster and smaller. Validation rows alone are read; a search that was
    stopped goes on.
    """
    from rich import box
    from rich.table import Table

    from flows.recipe_search import search
    from flows.reporting.console import stdout
    from tasks.core import params_file
    from tasks.core.errors import UserError

    root, console = settings.project_root(), stdout()
    budget_s = parse_budget(budget)
    contract = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml")).contract
    with search.open_study(root, use_case) as study:
        tried = search.search(
            root,
            use_case,
            budget_s,
            study=study,
            on_trial=lambda line: console.print(line, markup=False, soft_wrap=True),
        )
    if not tried:
        raise UserError(f"no recipe was tried with all of its epochs within {budget}; a longer --budget goes on from here")
    table = Table("drop", "bytes", "of dense", "ms", "x dense", "recipe", box=box.SIMPLE)
    for one in search.front(tried):
        result = one.result
        table.add_row(
            f"{result.drop:+.4f} ({result.drop_low:+.4f}..{result.drop_high:+.4f})",
            f"{result.bytes:,}",
            f"{result.size_share:.3f}",
            f"{result.ms:.4f}",
            f"{result.speedup:.2f} ({result.speedup_low:.2f}..{result.speedup_high:.2f})",
            search.steps_text(one.recipe),
        )
    console.print(table)
    path = search.save_front(root, use_case, tried)
    console.print(f"{len(tried)} recipes tried in full, on validation rows; {path}", markup=False, soft_wrap=True)
    best = search.best_under(contract, tried)
    if best is None:
        console.print("none keeps the contract as measured on validation rows")
    else:
        console.print(f"best under the contract: {search.steps_text(best.recipe)}", markup=False, soft_wrap=True)
    if write and best is not None:
        search.write_recipe(root, write, best.recipe)
        console.print(f"written to params.yaml as {write!r}; `bonsai run {use_case}` decides on test rows", markup=False)


def parse_budget(text: str) -> float:
    """`90s`, `30m`, `2h` or `1d` in seconds. Raises `UserError` for anything else."""
    from tasks.core.errors import UserError

    match = re.fullmatch(r"(\d+)\s*([smhd])", text.strip())
    if not match or not int(match[1]):
        raise UserError(f"--budget {text!r} is no time; write 90s, 30m, 2h or 1d")
    return float(int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]])


COMMANDS = (compress,)
