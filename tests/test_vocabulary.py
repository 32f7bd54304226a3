"""The code speaks the field's words: names that were retired do not come back, nor do they stand in what people read."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for folder in ("tasks", "flows", "dashboard", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*.py"))
]
RETIRED_PARTS = {
    "applicants",
    "belongings",
    "bench",
    "buried",
    "bury",
    "chronicle",
    "concert",
    "conductor",
    "contestant",
    "contestants",
    "corpora",
    "dealt",
    "deeds",
    "diary",
    "dirt",
    "door",
    "doors",
    "doubtful",
    "doubts",
    "followers",
    "foretold",
    "furnish",
    "galleries",
    "goodness",
    "heal",
    "healed",
    "house",
    "houses",
    "imitation",
    "joining",
    "journals",
    "judge",
    "judged",
    "judges",
    "keepsake",
    "keepsakes",
    "learnt",
    "ledger",
    "ledgers",
    "likeness",
    "memories",
    "mend",
    "mended",
    "mistake",
    "mistakes",
    "outlook",
    "owners",
    "placements",
    "relay",
    "rival",
    "rivals",
    "said",
    "settle",
    "settled",
    "shelf",
    "shelves",
    "strokes",
    "taught",
    "told",
    "understand",
    "understood",
    "wanted",
}
"""Words that stand in no name, as the whole of it or as a part between underscores or capitals."""
RETIRED_NAMES = {"found", "known", "asked", "given", "heard", "play", "perform", "score_of", "lay_out", "reflect", "tied"}
"""Names that say nothing of what they hold."""
ALLOWED = {
    "tasks/use_cases/finance/window_layers.py": {"found"},
    "flows/runs/record_schema.py": {"asked"},
}
"""Names that the bytes of an artifact or the keys of a record fix."""
RETIRED_SENTENCES = re.compile(
    r"\b(surely|the score (that|is|of the pipeline)|rivals?|conductor|dealt into|mended|is borne|brings? .{1,20} home|"
    r"call it off|"
    r"sent away|the books|three doors|one door|the house\b|undercut|foretold|commonest)\b",
    re.IGNORECASE,
)
READ_BY_PEOPLE = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "prefect.yaml",
    ROOT / "dvc.yaml",
]


def names(tree: ast.AST) -> Iterator[str]:
    """The identifiers that a module binds: variables, arguments, functions, classes, attributes it assigns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def parts(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def retired(path: Path) -> set[str]:
    return {name for name in names(ast.parse(path.read_text())) if name in RETIRED_NAMES or parts(name) & RETIRED_PARTS}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_of_a_module_is_a_retired_word(path: Path) -> None:
    assert retired(path) - ALLOWED.get(str(path.relative_to(ROOT)), set()) == set()


def test_every_allowed_name_is_still_there() -> None:
    for path, allowed in ALLOWED.items():
        assert retired(ROOT / path) >= allowed, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_named_by_a_retired_word(path: Path) -> None:
    assert not parts(path.stem) & RETIRED_PARTS


@pytest.mark.parametrize("path", READ_BY_PEOPLE, ids=lambda path: path.name)
def test_what_people_read_has_no_retired_word(path: Path) -> None:
    text = re.sub(r"<!-- result: .*?<!-- end of result -->", "", path.read_text(), flags=re.S)
    text = re.sub(r"`[^`\n]*`", "", text)  # names of files and keys of artifacts stay
    assert [match[0] for match in RETIRED_SENTENCES.finditer(text)] == []


def test_the_dashboards_texts_have_no_retired_word() -> None:
    catalogue = tomllib.loads((ROOT / "dashboard" / "text" / "translations.toml").read_text())
    assert [sentence for sentence in english(catalogue) if RETIRED_SENTENCES.search(re.sub(r"{.*?}", "", sentence))] == []


def english(node: object) -> Iterator[str]:
    """The English sentences of the catalogue."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "en" and isinstance(value, str):
                yield value
            elif key != "zh":
                yield from english(value)


def test_the_commands_help_has_no_retired_word() -> None:
    import typer
    from typer.main import get_command

    from flows.cli.main import app

    command = get_command(app)
    context = typer.Context(command)
    helps = [command.get_help(context)]
    for name in command.list_commands(context):  # type: ignore[attr-defined]
        each = command.get_command(context, name)  # type: ignore[attr-defined]
        helps.append(each.get_help(typer.Context(each, info_name=name)))
    assert [match[0] for text in helps for match in RETIRED_SENTENCES.finditer(text)] == []
