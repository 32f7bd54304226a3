"""`bonsai promote`, `bonsai rollback` and `bonsai models` say in one line what is the champion now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.test_promotion import run
from tests.support import recorded_runs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    return root


def test_promote_and_roll_back_from_the_command_line(project: Path, bonsai: Any) -> None:
    assert bonsai("models")[1].startswith("no model is registered yet; `bonsai promote USE_CASE`")
    first = run(project, 0)
    code, out, _ = bonsai("promote", "vision")
    assert (code, out) == (0, "promoted: vision@1 is the champion of vision\n")
    run(project, 1)
    code, out, _ = bonsai("promote", "vision", "--force")
    assert out.startswith("promoted: vision@2 is the champion of vision, before: vision@1. it ")
    code, out, _ = bonsai("rollback", "vision")
    assert (code, out) == (0, "rolled back: vision@1 is the champion of vision, before: vision@2\n")
    (listed,) = json.loads(bonsai("models", "--json")[1])
    assert listed["aliases"] == {"champion": 1}
    assert next(version["run"] for version in listed["versions"]) == first
    _, out, _ = bonsai("models", "vision")
    assert out.index("vision@2") < out.index("vision@1"), "the newest comes first"
    assert "rollback: champion is vision@1" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("promote", "visio"), "did you mean 'vision'"),
        (("promote", "vision"), "no run of vision was completed"),
        (("promote", "vision", "workspace"), "workspace has no release of vision"),
        (("promote", "vision", "3"), "vision has no version '3'; there is none yet"),
        (("rollback", "vision"), "vision has no champion"),
    ],
)
def test_a_mistake_is_told_in_one_line(project: Path, bonsai: Any, arguments: tuple[str, ...], expected: str) -> None:
    code, out, err = bonsai(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
