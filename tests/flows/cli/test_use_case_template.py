"""`bonsai new` creates a use case that works, changes nothing else, and rejects invalid requests in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli.use_case_template import copied_files, insert_stanza
from flows.parameters import suggestions
from tasks.core import params_file, registry
from tasks.core.storage.artifacts import Artifact
from tasks.core.use_case import Suggestion
from tasks.use_cases.vision.use_case import Vision
from tests.support import credit_table
from tests.support.toy_project import PARAMS, REPOSITORY, build_project, use_toy_registry

COMMENTED = """\
# What may be turned.
use_cases:
  # sums
  toy:
    fetch: {limit: 12}   # a dozen
    training: {epochs: 2}

# How to make it smaller.
recipes:
  dense: []
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy", COMMENTED)
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def test_a_new_use_case_is_two_packages_and_a_stanza_and_every_comment_stays(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("new", "sums_of_mine", "--from", "toy", "--set", "model.width=8")
    assert code == 0
    assert (
        out == "wrote params.yaml, tasks/models/sums_of_mine, tasks/use_cases/sums_of_mine; `bonsai run sums_of_mine` runs it\n"
    )
    text = (toy / "params.yaml").read_text()
    head, tail = COMMENTED.split("\n\n")
    assert text == (
        f"{head}\n  sums_of_mine:\n    fetch: {{limit: 12}}\n    clean: {{}}\n    augment: {{}}\n    model: {{width: 8}}\n"
        f"    training: {{seed: 7, epochs: 2}}\n    contract: {{}}\n\n{tail}"
    )
    case = params_file.build_use_case("sums_of_mine", params_file.read_params(toy / "params.yaml"))
    assert type(case).__name__ == "SumsOfMine"
    assert case.model.width == 8  # type: ignore[attr-defined]


def test_a_path_to_own_data_is_resolved_against_the_working_folder_and_stored_relative_to_the_project(
    toy: Path, bonsai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toy / "mine").mkdir()
    monkeypatch.chdir(toy / "mine")
    assert bonsai("new", "sums", "--from", "toy", "--set", "fetch.path=numbers.json")[0] == 0
    assert bonsai("new", "others", "--from", "toy", "--set", "fetch.path=/data/numbers.json")[0] == 0
    stanzas = yaml.safe_load((toy / "params.yaml").read_text())["use_cases"]
    assert stanzas["sums"]["fetch"]["path"] == "mine/numbers.json"
    assert stanzas["others"]["fetch"]["path"] == "/data/numbers.json"


def test_what_the_use_case_suggests_for_the_data_is_written_and_said(
    toy: Path, bonsai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "for_stanza", lambda *_: Suggestion({"model.width": 8}, "few numbers"))
    code, out, _ = bonsai("new", "sums", "--from", "toy")
    assert code == 0
    assert "chosen for these data: model.width=8 (few numbers)\n" in out
    assert yaml.safe_load((toy / "params.yaml").read_text())["use_cases"]["sums"]["model"]["width"] == 8


def test_a_setting_that_the_user_chose_is_not_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vision, "suggested_settings", lambda self: Suggestion({"clean.side": 224, "training.epochs": 4}))
    params = params_file.Params(use_cases={}, recipes={"dense": []})
    assert suggestions.for_stanza("pets", "vision", params, {}, {"clean.side": 96}).settings == {"training.epochs": 4}


def test_an_existing_use_case_gets_its_stanza_only(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("new", "twin")
    assert (code, out) == (0, "wrote params.yaml; `bonsai run twin` runs it\n")
    assert yaml.safe_load((toy / "params.yaml").read_text())["use_cases"]["twin"] == params_file.default_stanza()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "toy", "--from", "twin"], "params.yaml already has a use case 'toy'"),
        (["new", "twin", "--from", "toy"], "tasks/use_cases/twin already exists"),
        (["new", "my-sums", "--from", "toy"], "'my_sums' would be valid"),
        (["new", "class", "--from", "toy"], "no Python keyword"),
        (["new", "../toy", "--from", "toy"], "is not a valid name"),
        (["new", "recipes", "--from", "toy"], "is not a valid name"),
        (["new", "sums", "--from", "toi"], "did you mean 'toy'?"),
        (["new", "sums"], "add --from and one of toy, twin"),
        (["new", "sums", "--from", "toy", "--set", "model.widht=3"], "did you mean 'width'?"),
        (["new", "sums", "--from", "toy", "--set", "recipes.dense=3"], "is not a parameter of the new use case"),
    ],
)
def test_an_invalid_request_is_rejected_in_one_line_and_nothing_is_written(
    toy: Path, bonsai: Any, arguments: list[str], message: str
) -> None:
    code, out, err = bonsai(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert (toy / "params.yaml").read_text() == COMMENTED
    assert registry.registered_names("use_cases") == ["toy", "twin"]


def test_a_stanza_is_added_after_the_last_one() -> None:
    for text in (PARAMS, "recipes: {dense: []}\nuse_cases:\n    a: {}", "use_cases:\n  a: {}\n# end\nrecipes: {dense: []}\n"):
        text = insert_stanza(text, "b", {"fetch": {"path": "a b: c.csv"}})
        assert list(yaml.safe_load(text)["use_cases"])[-1] == "b"


@pytest.mark.parametrize("template", registry.registered_names("use_cases"))
def test_the_copy_of_every_template_is_the_same_code_under_another_name(template: str) -> None:
    files = copied_files(REPOSITORY, template, "another_one")
    assert set(files) > {"tasks/use_cases/another_one/use_case.py", "tasks/models/another_one/__init__.py"}
    for path, copy in files.items():
        compile(copy, path, "exec")
        source = (REPOSITORY / path.replace("another_one", template, 1)).read_text()
        assert len(copy.splitlines()) == len(source.splitlines())
        assert f".{template}." not in copy
    assert "class AnotherOne(UseCase)" in files["tasks/use_cases/another_one/use_case.py"]


SMALL_SETTINGS = {
    "vision": ["fetch.limit=300"],
    "nlp": ["fetch.limit=800"],
    "finance": ["fetch.limit=1200"],
    "credit": ["fetch.path=lenders.csv"],
}
"""Parameters that make each template small and independent of the network."""
ALL_STAGES = """
import sys
from tasks.__main__ import STAGES, main
for stage, named in STAGES.items():
    if code := main([stage, "mine", *(["dense"] * named)]):
        sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("template", SMALL_SETTINGS)
def test_a_new_use_case_goes_through_all_stages_as_they_are(template: str, tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "dvc.yaml", tmp_path)
    for package in ("tasks", "flows"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "recipes": {"dense": []}}))
    credit_table.write(tmp_path / "lenders.csv")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    settings = (*SMALL_SETTINGS[template], "training.epochs=1", "training.min_steps=1")
    sets = [word for one in settings for word in ("--set", one)]
    run("-m", "flows.cli.main", "new", "mine", "--from", template, *sets)
    run("-c", ALL_STAGES)
    assert Artifact(tmp_path / "data" / "mine" / "model").json("report.json")["epochs"] == 1
    verdict = Artifact(tmp_path / "data" / "mine" / "release").json("verdict.json")
    kinds = {candidate["recipe"]: candidate["kind"] for candidate in verdict["candidates"]}
    assert set(kinds.values()) == ({"baseline"} if template != "finance" else set())
    assert verdict["verdict"] in ({"released", "refused", "inconclusive"} if kinds else {"refused"})
    assert verdict["reason"].startswith(verdict["verdict"])
    assert (verdict["released"] in kinds) == (verdict["verdict"] == "released")
    assert "mine" in (tmp_path / "data" / "mine" / "release" / "card.md").read_text()


def test_every_template_is_tested_here() -> None:
    assert set(SMALL_SETTINGS) == set(registry.registered_names("use_cases"))
