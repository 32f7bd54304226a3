"""`bonsai compress` prints the front of what was tried, writes a recipe on request, and can be stopped at any time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flows.cli.compress_command import parse_budget
from flows.recipe_search import search
from flows.recipe_search.search import Workplace
from flows.recipe_search.trial import TrialResult
from tasks.core.errors import UserError
from tasks.core.params_file import read_params
from tasks.core.storage.atomic_files import write_json
from tests.support.toy_project import SMALL, build_project, use_toy_registry

SMALLEST: list[dict[str, Any]] = [{"distill": {"width_share": 0.2}}, {"quantize": {}}]
BEST: list[dict[str, Any]] = [{"quantize": {}}]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project where two recipes were tried in full: the smaller one loses more than the contract allows."""
    folder = build_project(tmp_path / "toy", SMALL)
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    workplace = Workplace(folder / ".bonsai/recipes/toy", folder / ".bonsai/recipes/toy-results-1")
    monkeypatch.setattr(search, "prepare", lambda *_: workplace)
    workplace.results.mkdir(parents=True)
    for name, recipe, drop, size in (("a", SMALLEST, 0.9, 10), ("b", BEST, 0.0, 50)):
        result = TrialResult(drop=drop, bytes=size, size_share=size / 1000, ms=0.01, speedup=100.0)
        write_json(workplace.results / f"{name}.json", {"recipe": recipe, "effort": 1.0, "result": asdict(result)})
    return folder


def test_without_time_it_shows_what_was_found(toy: Path, bonsai: Any) -> None:
    code, out, err = bonsai("compress", "toy", "--budget", "0m")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[:2] for row in rows if row and row[0] in ("1", "2") and row[1] != "recipes"] == [["1", "+0.9000"], ["2", "best"]]
    assert "2 recipes tried in full, on validation rows; .bonsai/recipes/toy-front.json" in out
    assert "best: the smallest and fastest that keeps the contract" in out
    assert "`bonsai compress toy --budget 0m --write NAME --number N`" in out


@pytest.mark.parametrize(("options", "recipe"), [((), BEST), (("--number", "1"), SMALLEST)])
def test_a_recipe_is_written_on_request(toy: Path, bonsai: Any, options: tuple[str, ...], recipe: Any) -> None:
    code, out, _ = bonsai("compress", "toy", "--budget", "0m", "--write", "searched", *options)
    assert code == 0
    assert read_params(toy / "params.yaml").recipes["searched"] == recipe
    assert "written to params.yaml as 'searched'" in out
    assert "decides on test rows" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--write", "searched", "--number", "3"), "--number 3: the table has 2 recipes"),
        (("--number", "1"), "add --write NAME"),
        (("--write", "dense"), "take another name"),
        (("--budget", "soon"), "--budget 'soon' is no time; write 90s, 30m, 2h or 1d"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(toy: Path, bonsai: Any, options: tuple[str, ...], message: str) -> None:
    code, _, err = bonsai("compress", "toy", "--budget", "0m", *options)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_search_that_is_stopped_shows_what_was_found_until_then(
    toy: Path, bonsai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "search", stop)
    code, out, _ = bonsai("compress", "toy")
    assert code == 130
    assert "stopped" in out
    assert "2 recipes tried in full" in out


def test_before_a_recipe_was_tried_in_full_it_says_how_to_go_on(toy: Path, bonsai: Any) -> None:
    for path in (toy / ".bonsai/recipes/toy-results-1").iterdir():
        path.unlink()
    code, out, _ = bonsai("compress", "toy", "--budget", "0m")
    assert code == 2
    assert "no recipe was tried with all of its epochs yet; `bonsai compress toy` goes on from here" in out


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("0m", 0)])
def test_a_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "1.5h", "30 minutes"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is no time"):
        parse_budget(text)
