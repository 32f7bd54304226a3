"""The command `bonsai correct`: decide on suspected labels and quarantined rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import settings


def correct(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose rows are decided on.")],
    rows: Annotated[
        list[str] | None, typer.Argument(metavar="FILE:ROW", help="Rows by file and position, as the reports name them.")
    ] = None,
    label: Annotated[str, typer.Option("--label", metavar="LABEL", help="Their right label.")] = "",
    exclude: Annotated[bool, typer.Option("--exclude", help="Leave them out.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Their label is right.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the decision on them back.")] = False,
    table: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE", help="A CSV file with file, row, action (confirm, relabel, exclude, withdraw), label."
        ),
    ] = "",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, kept with the decision.")] = "",
    suspects: Annotated[int, typer.Option("--suspects", metavar="N", min=0, help="Print the N most suspected labels.")] = 0,
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Take the rows of this run, not the project's own.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write them to a CSV file, for --from.")] = "",
) -> None:
    """Confirm, relabel or exclude single rows, or withdraw a decision on them.

    Decisions are kept in corrections/USE_CASE.jsonl, with who and when, and the stage clean applies them in every run from then
    on. With --suspects it lists the labels that a model fitted on the other rows finds the least likely.
    """
    from flows import corrections
    from flows.reporting.console import stdout
    from flows.runs.search import find_run
    from tasks.core.errors import UserError
    from tasks.core.registry import registered_names, unknown_name

    root = settings.project_root()
    if use_case not in registered_names("use_cases"):
        raise UserError(unknown_name("no use case", use_case, registered_names("use_cases")))
    workspace = find_run(root, run).folder if run else None
    if suspects:
        listed = corrections.suspects(root, use_case, suspects, workspace).assign(action="relabel")
        if output:
            listed = listed.rename(columns={"label": "before", "suggested": "label"})
            listed.to_csv(output, index=False)
            stdout().print(
                f"wrote {len(listed)} rows to {output}; correct it, then --from {output}", markup=False, soft_wrap=True
            )
        else:
            listed.drop(columns="action").to_csv(sys.stdout, index=False)
        return
    flags = {"--label": label, "--exclude": exclude, "--confirm": confirm, "--withdraw": withdraw}
    chosen = [name for name, is_set in flags.items() if is_set]
    if table and (rows or chosen):
        raise UserError("--from names rows and actions itself; leave out the other ones")
    if not table and (not rows or len(chosen) != 1):
        raise UserError(f"name rows as FILE:ROW and one of {', '.join(flags)}, got {' and '.join(chosen) or 'none'}")
    action = "relabel" if label else chosen[0].removeprefix("--") if chosen else ""
    wished = _read(Path(table)) if table else [{**_place(each), "action": action, "label": label} for each in rows or ()]
    made = corrections.record(root, use_case, wished, why, workspace=workspace)
    stdout().print(
        f"recorded {len(made)} decision{'s' * (len(made) != 1)} in {corrections.path_of(root, use_case).relative_to(root)}; "
        f"`bonsai run {use_case}` or `dvc repro` applies them",
        markup=False,
        soft_wrap=True,
    )


def _place(text: str) -> dict[str, Any]:
    from tasks.core.errors import UserError

    file, colon, row = text.rpartition(":")
    if not colon or not row.isdigit():
        raise UserError(f"{text!r} is no row; write FILE:ROW, such as train.csv:17")
    return {"file": file, "row": int(row)}


def _read(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a CSV file of decisions."""
    import pandas as pd

    from tasks.core.errors import UserError

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV: {str(error)[:100]}") from None
    if missing := [name for name in ("file", "row", "action") if name not in table]:
        raise UserError(f"{path} has no column {missing[0]!r}; it needs file, row, action and, to relabel, label")
    if not table["row"].str.fullmatch(r"\d+").all():
        raise UserError(f"{path}: the column row holds positions of rows, whole numbers")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
