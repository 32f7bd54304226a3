"""A request for a run is checked, completed from params.yaml, and identified by the content of the data it names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.parameters import run_request
from flows.parameters.run_request import RunRequest
from flows.registry import history
from flows.runs.workspace import create_workspace
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact
from tasks.core.storage.atomic_files import hash_json
from tasks.data import sources
from tests.support.executed_runs import toy_request
from tests.support.toy_project import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


def test_a_request_selects_use_cases_and_recipes_and_names_overrides_in_full(toy: Path) -> None:
    request = run_request.build_request(toy, ["toy"], ["half"], {"training.epochs": 3, "recipes.half.0.halve.times": 2})
    assert request.overrides == {"use_cases.toy.training.epochs": 3, "recipes.half.0.halve.times": 2}
    assert list(request.values["use_cases"]) == ["toy"]
    assert list(request.values["recipes"]) == ["dense", "half"], "dense is what the others are compared with"
    assert not request.unmodified


def test_a_value_equal_to_params_yaml_is_no_override(toy: Path) -> None:
    request = run_request.build_request(toy, ["twin"], overrides={"fetch.limit": 10})
    assert request.overrides == {}
    assert request.unmodified


def test_a_relative_override_applies_to_every_requested_use_case(toy: Path) -> None:
    request = run_request.build_request(toy, overrides={"training.epochs": 3})
    assert set(request.overrides) == {"use_cases.toy.training.epochs", "use_cases.twin.training.epochs"}


@pytest.mark.parametrize("name", ["seeds", "training.seeds"])
def test_a_number_of_seeds_adds_the_ones_after_the_use_cases_own(toy: Path, name: str) -> None:
    request = run_request.build_request(toy, ["toy"], overrides={name: 3})
    assert request.values["seeds"] == [8, 9]
    assert request.overrides == {"seeds": [8, 9]}
    assert not request.unmodified
    assert run_request.build_request(toy, ["toy"], overrides=request.overrides).hash == request.hash


def test_additional_seeds_follow_the_largest_seed_of_several_use_cases(toy: Path) -> None:
    request = run_request.build_request(toy, overrides={"seeds": 2, "use_cases.twin.training.seed": 20})
    assert request.values["seeds"] == [21]


def test_one_seed_is_the_request_that_it_was_before_there_were_seeds(toy: Path) -> None:
    request = run_request.build_request(toy, ["toy"], overrides={"seeds": 1})
    assert (request.overrides, request.values["seeds"], request.unmodified) == ({}, [], True)
    assert request.hash == hash_json({name: request.values[name] for name in ("use_cases", "recipes")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": {"seeds": 0}}, "seeds=0 is no number of seeds; give one from 1 to 100"),
        ({"overrides": {"seeds": "all"}}, "seeds='all' is no number of seeds"),
        ({"overrides": {"seeds": [7]}}, "seeds has 7, which is use_cases.toy.training.seed already"),
        ({"use_cases": ["toi"]}, "did you mean 'toy'"),
        ({"recipes": ["hlf"]}, "did you mean 'half'"),
        ({"overrides": {"model.widht": 3}}, "did you mean 'width'"),
        ({"overrides": {"model.width": 0}}, "greater than or equal to 1, got 0"),
        ({"overrides": {"recipes.half.0.halve.times": 99}}, "less than or equal to 8, got 99"),
        ({"overrides": {"fetch.path": "own.cvs"}}, "did you mean 'own.csv'"),
    ],
)
def test_an_invalid_request_is_refused_with_the_nearest_valid_name(toy: Path, arguments: dict[str, Any], message: str) -> None:
    (toy / "own.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=message) as refusal:
        run_request.build_request(toy, **{"use_cases": ["toy"], **arguments})
    assert "\n" not in str(refusal.value)


def test_the_users_own_data_is_identified_by_its_content(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text("[1]")
    first = toy_request(toy, overrides={"fetch.path": "own.json"}, cwd=tmp_path)
    assert first.values["use_cases"]["toy"]["fetch"]["path"] == str(tmp_path / "own.json")
    (tmp_path / "own.json").write_text("[2]")
    second = toy_request(toy, overrides={"fetch.path": "own.json"}, cwd=tmp_path)
    assert first.overrides["use_cases.toy.fetch.fingerprint"] != second.overrides["use_cases.toy.fetch.fingerprint"]


def test_a_path_to_pretrained_weights_is_made_absolute_where_it_exists(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    names = ("model.weights", "model.vectors", "recipes.distilled.0.distill.pretrained.weights")
    for name in names:
        assert run_request.resolve_own_path(name, "encoder", tmp_path, ()) == str(tmp_path / "encoder")
    assert run_request.resolve_own_path("model.vectors", "glove", tmp_path, ()) == "glove"
    assert run_request.resolve_own_path("model.weights", "", tmp_path, ()) == ""


def test_everything_that_fetch_reads_is_identified_by_its_content(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    (tmp_path / "news.csv").write_text("ticker,time,text\n")
    (tmp_path / "data" / "nlp" / "release").mkdir(parents=True)
    (tmp_path / "data" / "nlp" / "release" / "model.onnx").write_bytes(b"one")
    overrides = {"fetch.news": "news.csv", "use_cases.finance.fetch.scorer": "data/nlp/release"}

    def fetched() -> Any:
        request = run_request.build_request(tmp_path, ["finance"], overrides=overrides, cwd=tmp_path)
        return request.values["use_cases"]["finance"]["fetch"]

    first = fetched()
    assert (first["news"], first["scorer"]) == (str(tmp_path / "news.csv"), str(tmp_path / "data" / "nlp" / "release"))
    case = registry.build("use_cases", "finance", {"fetch": first})
    (tmp_path / "data" / "nlp" / "release" / "model.onnx").write_bytes(b"two")
    second = fetched()
    (tmp_path / "news.csv").write_text("ticker,time,text\nONE,2020-01-07,good\n")
    assert len({first["fingerprint"], second["fingerprint"], fetched()["fingerprint"]}) == 3
    with pytest.raises(UserError, match=r"news\.csv changed since this run was requested"):
        next(case.load())
    with pytest.raises(UserError, match=r"did you mean 'news\.csv'"):
        run_request.build_request(tmp_path, ["finance"], overrides={**overrides, "fetch.news": "news.cvs"}, cwd=tmp_path)


def test_a_network_of_ones_own_is_identified_by_its_content_and_keeps_its_function(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    (tmp_path / "my_net.py").write_text("def build(): pass\n")
    overrides = {"model.file": "my_net.py:build"}
    first = run_request.build_request(tmp_path, ["vision"], overrides=overrides, cwd=tmp_path)
    assert first.values["use_cases"]["vision"]["model"]["file"] == f"{tmp_path / 'my_net.py'}:build"
    (tmp_path / "my_net.py").write_text("def build(): return 1\n")
    second = run_request.build_request(tmp_path, ["vision"], overrides=overrides, cwd=tmp_path)
    fingerprints = [each.overrides["use_cases.vision.model.fingerprint"] for each in (first, second)]
    assert fingerprints[0] != fingerprints[1]
    assert "fingerprint" not in first.values["use_cases"]["vision"].get("fetch", {})
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["use_cases"]["vision"]["model"] = {"file": "my_net.py:build"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    assert run_request.build_request(tmp_path, ["vision"]).links == ("my_net.py",)
    with pytest.raises(UserError, match=r"did you mean 'my_net\.py'"):
        run_request.build_request(tmp_path, ["vision"], overrides={"model.file": "my_ned.py:build"}, cwd=tmp_path)


def test_a_path_among_the_outputs_becomes_absolute_and_other_paths_are_linked(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["use_cases"]["finance"]["fetch"] = {"news": "news.csv", "scorer": "data/nlp/release"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "news.csv").write_text("ticker,time,text\n")
    (tmp_path / "data" / "nlp" / "release").mkdir(parents=True)
    request = run_request.build_request(tmp_path, ["finance"])
    assert request.links == ("news.csv",)
    assert request.values["use_cases"]["finance"]["fetch"]["scorer"] == str(tmp_path / "data" / "nlp" / "release")


def test_a_folders_fingerprint_depends_on_names_sizes_and_contents(tmp_path: Path) -> None:
    folder, memory = tmp_path / "images", tmp_path / "memory.json"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_bytes(b"one")
    first = run_request.cached_fingerprint(folder, memory)
    assert run_request.cached_fingerprint(folder, memory) == first
    assert run_request.cached_fingerprint(folder, tmp_path / "other.json") == first
    (folder / "a" / "1.png").rename(folder / "a" / "2.png")
    assert run_request.cached_fingerprint(folder, memory) != first


def test_the_fetch_stage_accepts_the_recorded_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "1.png").write_bytes(b"one")
    for path in (folder, folder / "cats" / "1.png"):
        assert sources.verified_path(str(path), run_request.cached_fingerprint(path, tmp_path / "memory.json")) == path
    (folder / "cats" / "1.png").write_bytes(b"other")
    with pytest.raises(UserError, match="changed since this run was requested"):
        sources.verified_path(str(folder), json.loads((tmp_path / "memory.json").read_text())[str(folder)]["fingerprint"])


def test_data_inside_the_project_is_linked_into_a_runs_folder(toy: Path) -> None:
    (toy / "own.json").write_text("[1]")
    values = yaml.safe_load((toy / "params.yaml").read_text())
    values["use_cases"]["toy"]["fetch"] = {"path": "own.json"}
    (toy / "params.yaml").write_text(yaml.safe_dump(values))
    (toy / "work").mkdir()
    create_workspace(toy, toy / "work", toy_request(toy))
    assert (toy / "work" / "own.json").read_text() == "[1]"


def test_a_contract_that_compares_with_the_champion_names_its_folder_in_the_run(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    overrides = {"contract.beats": "champion"}

    def request() -> RunRequest:
        return run_request.build_request(tmp_path, ["vision"], overrides=overrides)

    assert "champion" not in request().values["use_cases"]["vision"]["contract"], (
        "none was promoted: the baseline takes its place"
    )
    for number in (1, 2):
        with Artifact(tmp_path / f"registry/vision/{number}").draft() as draft:
            (draft / "model.onnx").write_bytes(b"model")
        with history.writing(tmp_path, "vision") as models:
            history.append(tmp_path, models, history.REGISTERED, version=number)
            history.append(tmp_path, models, history.POINTED, alias="champion", version=number, why="promotion")
        assert request().values["use_cases"]["vision"]["contract"]["champion"] == f"registry/vision/{number}"
        assert request().links == (f"registry/vision/{number}",)
    assert run_request.build_request(tmp_path, ["vision"]).links == ()
