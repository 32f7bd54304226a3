"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

UseCases = Annotated[
    list[str] | None, typer.Argument(metavar="USE_CASE", help="Use cases; without one, all that params.yaml lists.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a parameter, such as training.epochs=3. Repeatable."),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", metavar="RECIPE", help="Run only this recipe and the baseline `dense`. Repeatable."),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="COUNT", min=1, help="Train, compress and evaluate with this many seeds in all."),
]
Force = Annotated[bool, typer.Option("--force", help="Execute every stage, even if it is unchanged.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Gate = Annotated[
    bool, typer.Option("--gate", help="End with the exit code of `bonsai verdict`: 3 for refused, 4 for inconclusive.")
]
VerdictAsJson = Annotated[bool, typer.Option("--json", help="Print the verdict as JSON, and everything else on standard error.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Run id, a unique start or end of one, or `newest`.")]
Remote = Annotated[str, typer.Option("--remote", "-r", metavar="NAME", help="DVC remote; by default the project's own.")]
Deployment = Annotated[
    str, typer.Argument(metavar="DEPLOYMENT", help="Name as `bonsai schedules` lists it, such as vision-nightly.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Run the code of a run that was pulled from a remote, without asking.")]
