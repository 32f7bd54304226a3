"""Commands for released models: `promote`, `rollback`, `models` and `bundle`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows import settings
from flows.cli.options import AsJson

if TYPE_CHECKING:
    from flows.promotion import Change
    from flows.registry.history import History

UseCase = Annotated[str, typer.Argument(metavar="USE_CASE", help="Use case whose models are meant.")]
Alias = Annotated[
    str, typer.Option("--as", metavar="ALIAS", help="Alias that is moved: champion, challenger or one of your own.")
]


def promote(
    use_case: UseCase,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Run id, `newest`, `workspace` for the project's folder, or a version such as 7 or challenger."
        ),
    ] = "newest",
    alias: Alias = "champion",
    force: Annotated[bool, typer.Option("--force", help="Promote it even if it is shown worse, or cannot be compared.")] = False,
) -> None:
    """Register a released model and make it the champion.

    It is compared with the champion on the same test rows; a model that is shown worse is refused. `bonsai serve` takes over the
    champion at once.
    """
    from flows import promotion

    _print(promotion.promote(settings.project_root(), _valid_name(use_case), source, alias=alias, force=force), "promoted")


def rollback(use_case: UseCase, alias: Alias = "champion") -> None:
    """Make the previous champion the champion again."""
    from flows import promotion

    _print(promotion.rollback(settings.project_root(), _valid_name(use_case), alias=alias), "rolled back")


def models(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="Only this use case, with what happened to it.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the registered models, newest first, and where the aliases point."""
    import json

    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from flows.registry import history
    from flows.reporting.console import stdout

    root = settings.project_root()
    names = [_valid_name(use_case)] if use_case else history.use_cases(root)
    histories = [history.read(root, name) for name in names]
    if as_json:
        print(json.dumps([_as_json(each) for each in histories], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("version", "alias", "model", "score on test", "bytes", "run", "registered", "by"):
        table.add_column(column, no_wrap=column in ("version", "run"))
    for each in histories:
        for number, version in sorted(each.versions.items(), reverse=True):
            facts = version.facts
            aliases = ", ".join(alias for alias, stack in each.aliases.items() if stack and stack[-1] == number)
            score = f"{facts['metric']} {facts['value']:.4f}" if facts.get("value") is not None else ""
            cells = (
                version.name,
                aliases,
                facts["released"],
                score,
                f"{facts['bytes']:,}",
                facts["run"],
                facts["at"],
                facts["by"],
            )
            table.add_row(*map(escape, cells))
    stdout().print(
        table if table.row_count else "no model is registered yet; `bonsai promote USE_CASE` registers the newest release"
    )
    if use_case:
        for event in histories[0].events:
            if event["event"] == history.POINTED:
                text = f"{event['at']}  {event['why']}: {event['alias']} is {use_case}@{event['version']}, by {event['by']}"
                stdout().print(escape(f"{text}. {event.get('comparison', '')}".rstrip(" .")), soft_wrap=True, style="dim")


def _valid_name(use_case: str) -> str:
    from tasks.core.errors import UserError
    from tasks.core.registry import registered_names, unknown_name

    if use_case not in registered_names("use_cases"):
        raise UserError(unknown_name("no use case", use_case, registered_names("use_cases")))
    return use_case


def _as_json(history: History) -> dict[str, object]:
    aliases = {alias: stack[-1] for alias, stack in history.aliases.items() if stack}
    versions = [dict(version.facts) for version in history.versions.values()]
    return {"use_case": history.use_case, "aliases": aliases, "versions": versions, "events": history.events}


def _print(change: Change, verb: str) -> None:
    from flows.reporting.console import stdout

    before = f", before: {change.before.name}" if change.before else ""
    line = f"{verb}: {change.version.name} is the {change.alias} of {change.version.use_case}{before}"
    stdout().print(f"{line}. {change.comparison}".rstrip(" ."), soft_wrap=True, markup=False, highlight=False)


def bundle(
    use_case: UseCase,
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="New folder to write; by default one named for the model.")
    ] = "",
    model_version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="A version such as 7 or challenger; by default the champion.")
    ] = "champion",
) -> None:
    """Write a folder that predicts and serves the model anywhere.

    It holds the champion, or the project's release where none was promoted, the code that prepares its inputs, its requirements
    (no torch), and a Dockerfile.
    """
    from pathlib import Path

    from flows.registry import history, versions
    from flows.reporting.console import stdout
    from flows.serving.bundle import write_bundle
    from tasks.inference.released_model import load_release

    root, registered = settings.project_root(), history.read(settings.project_root(), _valid_name(use_case))
    if model_version != history.CHAMPION or registered.at(history.CHAMPION):
        chosen = registered.find(model_version)
        name, release = chosen.name, versions.version_folder(root, chosen)
    else:
        name, release = f"{use_case}@release", root / "data" / use_case / "release"
    written = write_bundle(load_release(release, project=root), name, Path(folder or name.replace("@", "-")))
    stdout().print(f"wrote {name} to {written}; its README.md says how to run it", soft_wrap=True, markup=False, highlight=False)


COMMANDS = (promote, rollback, models, bundle)
