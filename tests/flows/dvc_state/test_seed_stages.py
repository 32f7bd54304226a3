"""An additional seed adds stages of its own and changes no other, in DVC's eyes and in those of a run."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from flows.dvc_state import stage_graph
from flows.dvc_state.stage_graph import Stage
from flows.parameters import yaml_edit
from tests.support.bonsai_process import run_dvc
from tests.support.executed_runs import execute_run
from tests.support.toy_project import SMALL, build_project, use_toy_registry

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One use case, two recipes."""
    project = build_project(tmp_path / "toy", SMALL)
    use_toy_registry(project, monkeypatch)
    return project


def stages(project: Path, seeds: list[int]) -> dict[str, Stage]:
    yaml_edit.set_values(project / "params.yaml", {"seeds": seeds})
    with chdir(project):
        return stage_graph.load_stages(project)


def test_without_additional_seeds_the_graph_is_that_of_one_seed(small: Path) -> None:
    assert not [name for name in stages(small, []) if "seed" in name]


def test_each_additional_seed_has_a_stage_per_verb_and_recipe_and_release_waits_for_them(small: Path) -> None:
    one, three = stages(small, []), stages(small, [8, 19])
    assert set(three) - set(one) == {
        *(f"train_seed@toy-{seed}" for seed in (8, 19)),
        *(
            f"{verb}_seed@toy-{recipe}-{seed}"
            for verb in ("compress", "evaluate")
            for recipe in ("dense", "half")
            for seed in (8, 19)
        ),
    }
    assert three["compress_seed@toy-half-19"].needs == ("train_seed@toy-19",)
    stage = three["evaluate_seed@toy-half-19"]
    assert (stage.verb, stage.use_case, stage.recipe, stage.seed) == ("evaluate_seed", "toy", "half", "19")
    assert (three["train_seed@toy-8"].recipe, three["train_seed@toy-8"].seed) == ("", "8")
    assert {"evaluate_seed@toy-half-8", "compress_seed@toy-dense-19"} < set(three["release@toy"].needs)
    changed = {name for name in one if three[name].needs != one[name].needs}
    assert changed == {"latency@toy", "release@toy"}


OLD = SMALL.replace("seeds: []\n", "# the end\n")
"""A params.yaml from before there were additional seeds."""


def test_a_params_file_from_before_there_were_seeds_gets_an_empty_list_that_dvc_reads(small: Path) -> None:
    path = small / "params.yaml"
    path.write_text(OLD)
    with chdir(small):
        names = set(stage_graph.load_stages(small))
    assert path.read_text().startswith(OLD.rstrip() + "\n")
    assert yaml.safe_load(path.read_text()) == {**yaml.safe_load(OLD), "seeds": []}
    assert names == set(stages(small, []))
    assert not stage_graph.supply_seeds(small)
    assert "release@toy" in run_dvc(small, "stage", "list")


def test_params_files_that_need_no_list_of_seeds_stay_as_they_are(small: Path) -> None:
    path, graph = small / "params.yaml", small / "dvc.yaml"
    for text in ("a: [", "- 1", OLD.replace("# the end", "seeds: [8]")):
        path.write_text(text)
        assert not stage_graph.supply_seeds(small)
        assert path.read_text() == text
    path.write_text(OLD)
    graph.write_text(graph.read_text().partition("  train_seed:")[0])
    assert not stage_graph.supply_seeds(small)


@pytest.mark.slow
def test_an_older_project_runs_without_a_list_of_seeds(small: Path) -> None:
    (small / "params.yaml").write_text(OLD)
    run = execute_run(small)
    assert run.record["state"] == "Completed", run.record["error"]
    assert "up to date" in run_dvc(small, "repro")


@pytest.mark.slow
def test_more_or_fewer_seeds_leave_the_stages_of_the_others_unchanged(small: Path) -> None:
    execute_run(small)

    def executed(seeds: int) -> set[str]:
        run = execute_run(small, overrides={"seeds": seeds})
        assert run.record["state"] == "Completed", run.record["error"]
        assert (run.folder / "data/toy/evaluations/seeds/8/half/metrics.json").is_file()
        return {name for name, entry in run.record["stages"].items() if entry["state"] == "Completed"}

    of_8 = {name for name in stages(small, [8]) if name.endswith("-8")}
    assert len(of_8) == 5
    stages(small, [])
    assert executed(2) == {*of_8, "latency@toy", "release@toy"}
    assert executed(3) == {*(name.replace("-8", "-9") for name in of_8), "latency@toy", "release@toy"}
    assert executed(2) == set()
