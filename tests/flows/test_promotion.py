"""Promotion and rollback: numbered versions, one champion at any moment, and no model in its place that is shown worse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows import promotion
from flows.maintenance.garbage_collection import collect_garbage
from flows.promotion import compare_models
from flows.registry import history, versions
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import CHECKSUMS, Artifact, Table, read_split
from tasks.core.storage.atomic_files import hash_file, write_json
from tasks.inference.released_model import load_release
from tests.support import recorded_runs
from tests.support.toy_project import REPOSITORY


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    return root


def run(root: Path, number: int, use_case: str = "vision") -> str:
    """A finished run that released a model; equal numbers modulo 3 have equal models. Returns its id."""
    folder = recorded_runs.finished(root, number=number, use_case=use_case)
    clean = folder / "data" / use_case / "clean"
    write_json(clean / CHECKSUMS, {str(path.relative_to(clean)): hash_file(path) for path in clean.rglob("*.*")})
    release = folder / "data" / use_case / "release"
    if not (release / "model.onnx").exists():
        with Artifact(release).draft() as draft:
            shutil.copyfile(folder / "data" / use_case / "compressed/int8/model.onnx", draft / "model.onnx")
            write_json(draft / "verdict.json", {"verdict": "released", "released": "int8", "reason": f"run {number}"})
            write_json(draft / "table.json", {"rows": [{"recipe": "int8", "metric": "accuracy", "value": 0.9}]})
    return folder.name


def test_the_first_release_becomes_version_1_and_the_next_one_replaces_it(project: Path) -> None:
    first, second = run(project, 0), run(project, 1)
    change = promotion.promote(project, "vision", first)
    assert (change.version.name, change.before, change.comparison) == ("vision@1", None, "")
    change = promotion.promote(project, "vision", second, force=True)
    assert (change.version.name, change.before and change.before.name) == ("vision@2", "vision@1")
    assert "of accuracy on" in change.comparison
    registered = history.read(project, "vision")
    champion = registered.at("champion")
    assert champion is not None
    assert champion.facts["run"] == second
    assert champion.facts["sha256"] == hash_file(project / "registry/vision/2/model.onnx")
    assert (project / "registry/vision/2.dvc").exists()


def test_a_model_that_is_shown_worse_is_refused_and_nothing_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = run(project, 0), run(project, 1)
    promotion.promote(project, "vision", first)
    monkeypatch.setattr(promotion, "compare_models", lambda *_: (True, "it loses 0.1000 of accuracy on 40 test rows"))
    with pytest.raises(UserError, match=r"vision@2 is shown worse than the champion vision@1: it loses 0\.1000"):
        promotion.promote(project, "vision", second)
    registered = history.read(project, "vision")
    champion = registered.at("champion")
    assert champion is not None
    assert champion.number == 1
    assert promotion.promote(project, "vision", "2", force=True).version.number == 2


def test_the_comparison_is_paired_on_the_same_rows(project: Path) -> None:
    folder = project / "runs" / run(project, 0)
    rows = read_split(Table(folder / "data/vision/clean/rows"), "test")
    model = load_release(folder / "data/vision/release", project=project)
    worse, sentence = compare_models(model, model, rows)
    assert not worse
    assert sentence.startswith(f"it gains 0.0000 of accuracy on {len(rows)} test rows")


def test_rolling_back_goes_one_step_at_a_time_and_ends_with_a_sentence(project: Path) -> None:
    for number in range(3):
        promotion.promote(project, "vision", run(project, number), force=True)
    assert promotion.rollback(project, "vision").version.number == 2
    assert promotion.rollback(project, "vision").version.number == 1
    with pytest.raises(UserError, match=r"only vision@1 was ever the champion, so there is nothing to roll back to"):
        promotion.rollback(project, "vision")
    with pytest.raises(UserError, match="vision has no challenger"):
        promotion.rollback(project, "vision", alias="challenger")
    assert promotion.promote(project, "vision", "3", force=True).version.number == 3
    assert promotion.rollback(project, "vision").version.number == 1


def test_equal_releases_are_one_version_and_aliases_are_independent(project: Path) -> None:
    first = run(project, 0)
    promotion.promote(project, "vision", first)
    assert promotion.promote(project, "vision", first, alias="challenger").version.number == 1
    with pytest.raises(UserError, match="vision@1 is the champion already"):
        promotion.promote(project, "vision", first)
    with pytest.raises(UserError, match="'7' is no name for an alias"):
        promotion.promote(project, "vision", first, alias="7")
    assert list(history.read(project, "vision").versions) == [1]


def test_a_run_that_released_nothing_is_refused_with_its_reason(project: Path) -> None:
    folder = project / "runs" / run(project, 0)
    with Artifact(folder / "data/vision/release").draft() as draft:
        write_json(draft / "verdict.json", {"verdict": "inconclusive", "released": None, "reason": "40 rows more would show it"})
    with pytest.raises(UserError, match="40 rows more would show it"):
        promotion.promote(project, "vision", folder.name)
    assert history.use_cases(project) == []


def test_names_of_versions_and_mistakes_in_them(project: Path) -> None:
    promotion.promote(project, "vision", run(project, 0))
    registered = history.read(project, "vision")
    assert registered.find("vision@1") is registered.find("1") is registered.find("champion")
    with pytest.raises(UserError, match="did you mean 'champion'"):
        registered.find("champoin")
    with pytest.raises(UserError, match="no version '9'"):
        registered.find("9")


def test_a_line_that_a_killed_writer_left_half_is_as_if_it_was_never_begun(project: Path) -> None:
    promotion.promote(project, "vision", run(project, 0))
    path = project / "registry/vision/history.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "alias", "alias": "champ')
    champion = history.read(project, "vision").at("champion")
    assert champion is not None
    assert champion.number == 1
    promotion.promote(project, "vision", run(project, 1), force=True)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["registered", "alias", "registered", "alias"]
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(UserError, match=r"history\.jsonl, line 1: no event of the registry"):
        history.read(project, "vision")


def test_garbage_collection_keeps_the_versions_and_a_removed_folder_comes_back_from_the_cache(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    promotion.promote(project, "vision", run(project, 0))
    version = history.read(project, "vision").find("champion")
    shutil.rmtree(project / "runs")
    collect_garbage(project, keep=0)
    assert versions.is_cached(project, version)
    shutil.rmtree(project / "registry/vision/1")
    assert hash_file(versions.version_folder(project, version) / "model.onnx") == version.facts["sha256"]


WRITER = """
import sys
from pathlib import Path
from flows.registry import history
root = Path(sys.argv[1])
for turn in range(10_000):
    with history.writing(root, "toy") as registered:
        number = len(registered.versions) + 1
        history.append(root, registered, history.REGISTERED, version=number)
        history.append(root, registered, history.POINTED, alias="champion", version=number, why="promotion")
    if turn % 3 == 2:
        with history.writing(root, "toy") as registered:
            before = registered.aliases["champion"][-2]
            history.append(root, registered, history.POINTED, alias="champion", version=before, why="rollback")
"""


@pytest.mark.slow
def test_a_hundred_killed_writers_leave_one_champion_and_no_broken_line(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with history.writing(tmp_path, "toy") as registered:
        history.append(tmp_path, registered, history.REGISTERED, version=1)
        history.append(tmp_path, registered, history.POINTED, alias="champion", version=1, why="promotion")
    for kill in range(100):
        writers: list[subprocess.Popen[Any]] = [
            subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment) for _ in range(1 + (kill % 2))
        ]
        before = len(history.read(tmp_path, "toy").events)
        deadline = time.monotonic() + 60
        while len(history.read(tmp_path, "toy").events) < before + 1 + kill % 7 and time.monotonic() < deadline:
            time.sleep(0.001)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        registered = history.read(tmp_path, "toy")
        assert len(registered.events) > before
        assert sum(alias == "champion" and bool(stack) for alias, stack in registered.aliases.items()) == 1
        assert registered.at("champion") is not None
