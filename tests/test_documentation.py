"""The documentation names what there is: files, links, commands, settings; and its example of a compression step works."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer.main

import tasks.compression.steps
from benchmarks.__main__ import NAMES
from flows.cli.main import app
from flows.parameters.overrides import parse_overrides
from tasks.__main__ import STAGES
from tasks.compression import onnx_export
from tasks.core import onnx_model, params_file, registry
from tests.support import tiny_images

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"])
TRACKED = ("tasks", "flows", "dashboard", "tests", "docs", "benchmarks", ".ci")
PATH = re.compile(rf"`((?:{'|'.join(map(re.escape, TRACKED))})/[\w./<>*-]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
EXAMPLES = ("birds", "half_precision")
"""What the pages have the reader make."""
USE_CASES = registry.registered_names("use_cases")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """The headings of a page as links to them are written."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command that a page shows, in blocks and in the text, without remarks."""
    text = page.read_text(encoding="utf-8")
    blocks = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(r"`((?:bonsai|make|python -m) [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*blocks, *inline]:
        for part in line.split("&&"):
            if words := shlex.split(part, comments=True):
                yield words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for path in PATH.findall(page.read_text(encoding="utf-8")):
        pattern = re.sub(r"<[^>]+>", "*", path).rstrip("/")
        made = any(example in path for example in EXAMPLES)
        assert made or any(ROOT.glob(pattern)), f"{name(page)} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for found in LINK.findall(page.read_text(encoding="utf-8")):
        link = found[0] or found[1]
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)} links to {link}, which has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    cli: Any = typer.main.get_command(app)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(page):
        if words[0] == "bonsai":
            command = cli
            for word in words[1:]:
                if not hasattr(command, "commands") or word.startswith(("<", "...")):
                    break
                assert word in command.commands, f"{name(page)} shows `{' '.join(words)}`"
                command = command.commands[word]
            options = {option for parameter in command.params for option in parameter.opts}
            for word in words:
                assert not word.startswith("-") or word in options, f"{name(page)} shows {word} in `{' '.join(words)}`"
        elif words[0] == "make":
            assert set(words[1:]) <= targets, f"{name(page)} shows `{' '.join(words)}`"
        elif words[:3] == ["python", "-m", "tasks"]:
            stage = [word for word in words[3:4] if not word.startswith("<")]
            assert set(stage) <= set(STAGES), f"{name(page)} shows `{' '.join(words)}`"
        elif words[:3] == ["python", "-m", "benchmarks"]:
            assert set(words[3:]) <= set(NAMES), f"{name(page)} shows `{' '.join(words)}`"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_parameter_that_a_page_sets_exists(page: Path) -> None:
    params = params_file.read_params(ROOT / "params.yaml")
    for words in commands(page):
        assignments = [after for word, after in pairwise(words) if word == "--set"]
        if words[:2] not in (["bonsai", "run"], ["bonsai", "plan"]) or not assignments:
            continue
        use_case = next((word for word in words[2:] if word in USE_CASES), "vision")
        overrides = parse_overrides(assignments)
        overrides = {key: value for key, value in overrides.items() if value != "NAME"}
        changed = params_file.apply_overrides(params_file.with_default_stanzas(params, [use_case]), overrides, use_case)
        params_file.build_use_case(use_case, changed)


def test_the_graph_in_the_architecture_page_is_that_of_dvc_yaml() -> None:
    dag = load(ROOT / "docs" / "dag.py")
    text = dag.PAGE.read_text(encoding="utf-8")
    assert dag.page(text) == text, "run `python docs/dag.py`"


@pytest.fixture
def half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The step of the page, saved where the page says, in a `tasks` of its own."""
    text = (ROOT / "docs" / "add-a-compression-step.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    folder = tmp_path / registry.STEPS_FOLDER
    folder.mkdir(parents=True)
    (folder / "half_precision.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(registry, "TASKS_FOLDER", tmp_path)
    monkeypatch.setattr(tasks.compression.steps, "__path__", [*tasks.compression.steps.__path__, str(folder)])
    return registry.build(registry.STEPS_FOLDER, "half_precision", {"min_values": 64})


def test_the_step_of_the_documentation_halves_the_file_and_keeps_the_answers(half_precision: Any, tmp_path: Path) -> None:
    context = tiny_images.compression_context(tmp_path)
    network = tiny_images.Bars().build_model({}).eval()
    model = onnx_export.to_onnx(network, context.inputs, {"classes": list(tiny_images.NAMES)}, "bars")
    smaller = half_precision(model, context)
    assert half_precision(model, context) == smaller, "the same bytes each time"
    assert len(smaller) < 0.75 * len(model)
    assert context.notes["half_precision"]["tensors"] > 0
    rows = context.validation_inputs
    np.testing.assert_allclose(onnx_model.predict(smaller, rows), onnx_model.predict(model, rows), atol=0.01)
    assert onnx_model.read_metadata(onnx_model.from_bytes(smaller)) == onnx_model.read_metadata(onnx_model.from_bytes(model))
