"""The command `bonsai predict`: a released model's answers for files, folders and standard input."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import settings

STDIN = "-"
REJECTED = 3
"""The exit code when rows were rejected."""
MAX_REASONS = 20
"""The most rejected rows that are printed, if they are not written to a file."""
EXPECTED = {"picture": "pictures", "text": "texts, one in a line, or a table with a column of them", "table": "tables with rows"}
STDIN_NAMES = {"picture": "stdin", "text": "stdin.txt", "table": "stdin.jsonl"}


def predict(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose released model answers.")],
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files or folders: pictures, texts or tables; - reads standard input."),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write answers to a .jsonl, .csv or .parquet file.")
    ] = "",
    rejected: Annotated[
        str, typer.Option("--rejected", metavar="FILE", help="Write rejected rows, with reasons, to a file.")
    ] = "",
    release: Annotated[
        str, typer.Option("--release", metavar="FOLDER", help="Folder of another release; by default the project's.")
    ] = "",
) -> None:
    """Predict with the released model.

    Rows are checked as in the pipeline; those that fail are reported with their reason. Exit code: 0 all rows answered, 3 some
    rejected.
    """
    from tasks.core.errors import UserError
    from tasks.core.registry import registered_names, unknown_name
    from tasks.inference.answer_files import open_answers, write_json_lines
    from tasks.inference.released_model import load_release

    root = settings.project_root()
    if use_case not in registered_names("use_cases"):
        raise UserError(unknown_name("no use case", use_case, registered_names("use_cases")))
    model = load_release(release or root / "data" / use_case / "release", project=root)
    answered, failures = 0, list[Any]()
    with ExitStack() as stack:
        write = stack.enter_context(open_answers(Path(output))) if output else (lambda rows: write_json_lines(rows, sys.stdout))
        write_rejected = stack.enter_context(open_answers(Path(rejected))) if rejected else None
        for path in _paths(inputs, STDIN_NAMES[model.kind], stack):
            for answers in model.predict_path(path):
                write(answers.rows)
                answered += len(answers.rows)
                failures += answers.rejected.to_numpy().tolist()
                if write_rejected and len(answers.rejected):
                    write_rejected(answers.rejected)
                _show_progress(answered, len(failures), bool(output))
        if not answered and not failures:
            raise UserError(f"{', '.join(inputs)}: nothing to predict; the use case takes {EXPECTED[model.kind]}")
    for file, row, reason in failures[: 0 if rejected else MAX_REASONS]:
        print(f"rejected {file}{f':{row}' if row else ''}: {reason}", file=sys.stderr)
    if failures or output:
        print(f"{answered:,} rows answered, {len(failures):,} rejected", file=sys.stderr)
    raise typer.Exit(REJECTED if failures else 0)


def _paths(inputs: list[str], stdin_name: str, stack: ExitStack) -> Iterator[Path]:
    """The inputs as paths; standard input becomes a file that is removed in the end."""
    for name in inputs:
        if name != STDIN:
            yield Path(name)
            continue
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / stdin_name
        path.write_bytes(sys.stdin.buffer.read())
        yield path


def _show_progress(answered: int, rejected: int, to_file: bool) -> None:
    if to_file and sys.stderr.isatty():
        print(f"\r{answered + rejected:,} rows read", end="\r", file=sys.stderr)
