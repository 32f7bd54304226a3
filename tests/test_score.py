"""dvc.yaml is the only place where the graph is written, and its code dependencies are exactly what the code imports."""

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from tasks import library
from tasks.__main__ import STAGES

ROOT = Path(__file__).parents[1]
SCORE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SHELVES = {"tasks.models", "tasks.compression"}
"""Packages looked up by file name at run time: a stage that opens one depends on the whole folder."""


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tasks", exclude_type_checking_imports=True)


def closure(module: str) -> set[str]:
    return {module} | imports().find_upstream_modules(module)


def file_of(module: str) -> str:
    return module.replace(".", "/") + ".py"


def declared(stage: str) -> set[str]:
    return {dep for dep in SCORE[stage]["deps"] if dep.startswith("tasks/")}


def reached(stage: str) -> set[str]:
    """The code of a stage, for every use case there is: packages hold nothing but a sentence, so they do not count."""
    modules = closure(f"tasks.{stage}") | closure("tasks.__main__")
    for use_case in library.names("use_cases"):
        modules |= closure(f"tasks.use_cases.{use_case}") - {f"tasks.use_cases.{use_case}"}
    for shelf in opened(stage):
        for name in library.names(shelf):
            modules |= closure(f"tasks.{shelf}.{name}")
    modules = {module for module in modules if module.rpartition(".")[0] not in {f"tasks.{shelf}" for shelf in opened(stage)}}
    files = {file_of(module) for module in modules if module not in packages()}
    shelves = {shelf.replace(".", "/") for shelf in SHELVES if shelf.rpartition(".")[2] in opened(stage)}
    return files | shelves | {"tasks/use_cases/${item.use_case}.py"}


def packages() -> set[str]:
    return {"tasks"} | {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tasks").glob("*/__init__.py")}


def opened(stage: str) -> set[str]:
    """The shelves a stage takes things from: who builds networks opens `models`, who is given a recipe `compression`."""
    shelves = {"train": {"models"}, "compress": {"models", "compression"}, "evaluate": {"models"}}
    return shelves.get(stage, set())


def test_the_score_holds_the_stages_the_door_knows():
    assert list(SCORE) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports_and_on_no_other(stage):
    missing, idle = reached(stage) - declared(stage), declared(stage) - reached(stage)
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {sorted(missing)}"
    assert not idle, f"take from the deps of {stage} in dvc.yaml: {sorted(idle)}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_in_one_sentence_what_it_does(stage):
    assert SCORE[stage]["desc"].endswith(".")
    assert len(SCORE[stage]["desc"]) < 120


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_holds_names_only_and_never_a_parameter(stage):
    words = SCORE[stage]["cmd"].split()
    assert words[:4] == ["python", "-m", "tasks", stage]
    assert set(words[4:]) <= {"${item.use_case}", "${item.recipe}"}
    assert ("${item.recipe}" in words) == STAGES[stage]


def test_packages_hold_a_sentence_and_no_code():
    for init in [ROOT / "tasks/__init__.py", *(ROOT / "tasks").glob("*/__init__.py")]:
        assert len(ast.parse(init.read_text()).body) == 1, f"{init} must hold its docstring only"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stanza_that_says_nothing_has_every_parameter_a_stage_names(stage):
    names = {"${item.use_case}": "mine", "${item.recipe}": "dense"}
    for dotted in SCORE[stage].get("params", []):
        found = {"use_cases": {"mine": library.blank()}, "recipes": {"dense": []}}
        for placeholder, name in names.items():
            dotted = dotted.replace(placeholder, name)
        for word in dotted.split("."):
            assert word in found, f"{dotted} is missing in library.blank()"
            found = found[word]
