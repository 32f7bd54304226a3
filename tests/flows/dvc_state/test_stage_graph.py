"""dvc.yaml is read as DVC reads it, and the reasons why a stage is not up to date are named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dvc_state import stage_graph
from flows.dvc_state.stage_graph import Reason
from flows.dvc_state.stage_state import StageStore, open_repo
from flows.parameters import yaml_edit
from tests.support.toy_project import REPOSITORY, SMALL, build_project

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return build_project(tmp_path / "toy")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """One use case, two recipes."""
    return build_project(tmp_path / "toy", SMALL)


@pytest.fixture
def store(toy: Path) -> Iterator[StageStore]:
    with chdir(toy), StageStore(toy) as store:
        yield store


def set_params(toy: Path, **stanzas: Any) -> None:
    params = yaml.safe_load((toy / "params.yaml").read_text())
    params["use_cases"]["toy"].update(stanzas)
    (toy / "params.yaml").write_text(yaml.safe_dump(params))


def write_outputs_by_hand(toy: Path, *names: str) -> None:
    """Write the outputs of these stages, or of all, by hand and commit them to DVC's cache."""
    with chdir(toy), StageStore(toy) as store:
        for name in names or store.stages:
            store.clear(name)
            for out in store.stages[name].outs:
                (toy / out / "rows").mkdir(parents=True)
                (toy / out / "rows" / "part.json").write_text(name)
            store.commit(name)


def test_the_matrix_is_expanded_and_every_stage_comes_after_what_it_needs(toy: Path) -> None:
    with chdir(toy):
        stages = stage_graph.load_stages(toy)
    assert len(stages) == 2 * (4 + 2 * 3 + 2)
    names = list(stages)
    assert all(names.index(need) < names.index(name) for name, stage in stages.items() for need in stage.needs)
    stage = stages["compress@toy-half"]
    assert (stage.verb, stage.use_case, stage.recipe) == ("compress", "toy", "half")
    assert stage.command == ("python", "-m", "tasks", "compress", "--use_case", "toy", "--recipe", "half")
    assert stage.needs == ("train@toy",)
    assert stages["train@toy"].tags == ("gpu",)
    assert stages["latency@toy"].slots == "all"


def test_its_edges_are_those_of_dvc(toy: Path) -> None:
    with chdir(toy), open_repo(toy) as repo:
        graph = repo.index.graph
        assert {name: set(stage.needs) for name, stage in stage_graph.read(repo).items()} == {
            node.name: {need.name for need in graph.successors(node)} for node in graph
        }


def test_part_of_it_is_selected_by_use_case_and_recipe(toy: Path) -> None:
    with chdir(toy):
        chosen = stage_graph.select(stage_graph.load_stages(toy), ["twin"], ["dense"])
    assert list(chosen) == [
        "fetch@twin",
        "clean@twin",
        "augment@twin",
        "train@twin",
        "compress@twin-dense",
        "evaluate@twin-dense",
        "latency@twin",
        "release@twin",
    ]


def test_downstream_stages_are_all_that_read_its_outputs(toy: Path) -> None:
    with chdir(toy):
        stages = stage_graph.load_stages(toy)
    assert stage_graph.downstream(stages, ["compress@toy-half"]) == {"evaluate@toy-half", "latency@toy", "release@toy"}


def test_a_stage_never_run_says_so(store: StageStore) -> None:
    assert store.stale_reasons("fetch@toy") == [Reason("new", "it has not been run yet")]


def test_each_kind_of_change_is_named(small: Path) -> None:
    write_outputs_by_hand(small)
    set_params(small, training={"epochs": 3}, model={"width": 9})
    with (small / "tasks" / "stages" / "compress.py").open("a") as file:
        file.write("# edited\n")
    raw = small / "data" / "toy" / "raw" / "rows" / "part.json"
    raw.unlink()
    raw.write_text("other")
    (small / "dvc.yaml").write_text((small / "dvc.yaml").read_text().replace("tasks augment", "tasks  augment"))
    with chdir(small), StageStore(small) as store:
        assert [str(reason) for reason in store.stale_reasons("train@toy")] == [
            "use_cases.toy.model.width: (none) -> 9",
            "use_cases.toy.training.epochs: (none) -> 3",
        ]
        assert store.stale_reasons("compress@toy-half") == [Reason("code", "tasks/stages/compress.py is modified")]
        assert store.stale_reasons("clean@toy") == [Reason("data", "data/toy/raw is modified")]
        assert store.stale_reasons("fetch@toy") == [Reason("output", "data/toy/raw is modified")]
        assert [reason.kind for reason in store.stale_reasons("augment@toy")] == ["command"]
        assert store.stale_reasons("release@toy") == []


def test_the_store_distinguishes_unchanged_restored_and_unknown(small: Path) -> None:
    write_outputs_by_hand(small, "fetch@toy", "clean@toy", "augment@toy", "train@toy")
    with chdir(small), StageStore(small) as store:
        assert store.restore("train@toy") == "Unchanged"
    set_params(small, training={"epochs": 3})
    with chdir(small), StageStore(small) as store:
        assert store.restore("train@toy") is None
        assert store.key("train@toy")
        assert store.restore("train@toy") is None, "again, with the hashes of its dependencies saved anew"
    set_params(small, training={})
    (small / "dvc.lock").unlink()
    with chdir(small), StageStore(small) as store:
        assert store.restore("train@toy") == "Restored"
    with chdir(small), StageStore(small) as store:
        assert store.restore("train@toy") == "Unchanged", "restored outputs are recorded in dvc.lock"


def test_a_lock_file_is_written_byte_for_byte_as_dvc_would(small: Path) -> None:
    write_outputs_by_hand(small, "fetch@toy", "clean@toy")
    ours = (small / "dvc.lock").read_bytes()
    (small / "dvc.lock").unlink()
    for name in ("fetch@toy", "clean@toy"):
        with chdir(small), open_repo(small) as repo:
            repo.commit(name, force=True)
    assert (small / "dvc.lock").read_bytes() == ours


def test_the_toy_has_the_stages_of_the_real_pipeline_but_classic_models(toy: Path) -> None:
    yaml_edit.set_values(toy / "params.yaml", {"seeds": [8]})
    real = set(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"])
    with chdir(toy):
        assert {stage.verb for stage in stage_graph.load_stages(toy).values()} == real - {"baselines"}


def test_every_stage_of_the_real_pipeline_has_a_time_limit() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert all(stage["meta"]["timeout_s"] >= 3600 for stage in stages.values())
