"""The search keeps what no other recipe dominates, reads what was tried before, and never a test row."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import FixedTrial, TrialState

from flows.recipe_search import search, space, trial, trial_results
from flows.recipe_search.search import Workplace
from flows.recipe_search.trial import TrialResult
from flows.recipe_search.trial_results import Tried
from tasks import dask_cluster
from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.params_file import Params, build_recipe, read_params
from tasks.core.settings import Contract
from tasks.core.storage.atomic_files import write_json

SMALL = TrialResult(drop=0.01, bytes=100, size_share=0.1, ms=1.0, speedup=4.0)
FAST = TrialResult(drop=0.01, bytes=200, size_share=0.2, ms=0.5, speedup=8.0)
WORSE = TrialResult(drop=0.02, bytes=200, size_share=0.2, ms=1.0, speedup=4.0)
RIGHT = TrialResult(drop=0.0, bytes=900, size_share=0.9, ms=3.0, speedup=1.3)


def tried(*results: TrialResult) -> list[Tried]:
    return [Tried([{"quantize": {}}], result) for result in results]


def test_the_front_holds_what_no_other_recipe_dominates_the_smallest_file_first() -> None:
    assert [one.result for one in trial_results.front(tried(RIGHT, WORSE, FAST, SMALL))] == [SMALL, FAST, RIGHT]


def test_the_best_of_a_rung_are_those_of_the_first_front() -> None:
    results = dict(enumerate((WORSE, RIGHT, FAST, SMALL)))
    assert search.best_of(list(results), results, 2) == [2, 3]
    assert search.best_of(list(results), results, 4)[-1] == 0


def test_what_surely_loses_many_times_the_contract_rises_last_however_small_it_is() -> None:
    tiny = TrialResult(drop=0.16, drop_low=0.10, bytes=10, size_share=0.01, ms=0.1, speedup=40.0)
    unsure = replace(tiny, drop=0.15, drop_low=0.04, bytes=20)
    results = dict(enumerate((tiny, unsure, SMALL, WORSE)))
    assert search.best_of(list(results), results, 2) == [0, 1]
    assert search.best_of(list(results), results, 4, max_drop=0.01) == [1, 2, 3, 0]


def test_the_volume_below_a_reference_is_that_of_boxes() -> None:
    assert search.hypervolume([(1, 1, 1)], (2, 3, 4)) == pytest.approx(6)
    assert search.hypervolume([(1, 1, 1), (0, 2, 3)], (2, 3, 4)) == pytest.approx(6 + 2 - 1)
    assert search.hypervolume([(5, 1, 1)], (2, 3, 4)) == 0


def test_the_recipe_under_the_contract_is_the_cheapest_that_keeps_every_term() -> None:
    contract = Contract(max_drop=0.01, min_speedup=2.0, max_size_share=0.5)
    best = trial_results.best_under(contract, tried(RIGHT, WORSE, FAST, SMALL))
    assert best is not None
    assert best.result in (SMALL, FAST)  # 100 bytes times 1 ms equal 200 bytes times 0.5 ms
    assert trial_results.best_under(replace(contract, min_speedup=20.0), tried(RIGHT, SMALL)) is None


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({"network": "none", "bits": 8}, ["quantize"]),
        ({"network": "none", "bits": 32}, []),
        ({"network": "prune", "ratio": 0.5, "bits": 0}, ["prune", "quantize"]),
        ({"network": "student", "width_share": 0.5, "bits": 4}, ["distill", "qat", "quantize", "int4"]),
    ],
)
def test_a_recipe_of_the_space_can_be_built(values: Any, kinds: list[str]) -> None:
    recipe = space.suggest(FixedTrial({"teacher_share": 1.0, **values}), "finance")
    assert [kind for step in recipe for kind in step] == kinds
    assert len(build_recipe("one", Params({}, {"one": recipe}))) == len(kinds)


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("padding", [False, True])
def test_a_strided_student_of_the_space_is_a_network_for_digits(depth: int, padding: bool) -> None:
    from tasks.models.vision.strided_cnn import StridedCnn

    values = {
        "network": "strided",
        "teacher_share": 1.0,
        "bits": 4,
        "depth": depth,
        "stem": 16,
        "growth": 1.5,
        "padding": padding,
    }
    (distill, *_) = space.suggest(FixedTrial({**values, "stem_kernel": 5}), "vision")
    assert len(StridedCnn(**distill["distill"]["fields"]).convs) == depth


def test_less_effort_is_fewer_epochs_and_nothing_else() -> None:
    recipe = [{"distill": {"effort": 6.0, "width_share": 0.5}}, {"quantize": {}}]
    assert trial.scaled(recipe, 1 / 3) == [{"distill": {"effort": 2.0, "width_share": 0.5}}, {"quantize": {}}]


def test_what_was_tried_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_json(path, {"recipe": [{"quantize": {}}], "effort": 1.0, "result": {"drop": 0.25}})
    assert trial.run("nowhere", "vision", [{"quantize": {}}], 1.0, str(path)) == TrialResult(drop=0.25)
    assert [one.result.drop for one in trial_results.read_tried(tmp_path)] == [0.25]


def test_a_recipe_that_the_network_refuses_is_an_error_of_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> TrialResult:
        raise UserError("no channels to prune")

    monkeypatch.setattr(trial, "_measure", refuse)
    assert trial.run("folder", "vision", [], 1.0, str(tmp_path / "r" / "x.json")).error == "no channels to prune"
    assert trial_results.read_tried(tmp_path / "r") == []


def test_a_recipe_is_written_by_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take another name"):
        search.write_recipe(tmp_path, "dense", [])
    (tmp_path / "params.yaml").write_text("use_cases: {vision: {}}\nrecipes:\n  dense: []\n")
    search.write_recipe(tmp_path, "searched", [{"quantize": {}}])
    assert read_params(tmp_path / "params.yaml").recipes["searched"] == [{"quantize": {}}]
    with pytest.raises(UserError, match="has a recipe 'searched'; take another name, such as searched-2"):
        search.write_recipe(tmp_path, "searched", [])
    with pytest.raises(UserError, match="'two words' is no name of a recipe"):
        search.write_recipe(tmp_path, "two words", [])


def test_a_trial_measures_drop_bytes_and_time_on_validation_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.core import params_file
    from tests.support import tiny_images

    context = tiny_images.stage_context(tmp_path, "compress")
    (tmp_path / "params.yaml").write_text("use_cases:\n  bars: {}\nrecipes:\n  dense: []\nseeds: []\n")
    monkeypatch.setattr(params_file, "build_use_case", lambda *_: context.case)
    splits: list[str] = []
    from tasks.core.storage import artifacts

    read = artifacts.read_split
    monkeypatch.setattr(artifacts, "read_split", lambda rows, split: splits.append(split) or read(rows, split))
    result = trial.run(str(tmp_path), "bars", [{"quantize": {}}], 1.0, str(tmp_path / "recipes" / "a.json"))
    assert result.error == ""
    assert 0 < result.bytes < 1e5
    assert result.drop_low <= result.drop <= result.drop_high
    assert result.speedup_low <= result.speedup <= result.speedup_high
    assert set(splits) <= {"train", "validation"}


def test_models_are_timed_in_turn() -> None:
    from tasks.compression import onnx_export
    from tests.support import tiny_images

    images = np.zeros((4, 1, 8, 8), np.uint8)
    content = onnx_export.to_onnx(tiny_images.Bars().build_model({}).eval(), images, {}, "bars")
    times = trial.time_in_turn([content, content], images[:1], 1)
    assert [len(each) for each in times] == [trial.ROUNDS] * 2
    assert min(map(min, times)) > 0
    assert onnx_model.predict(content, images).shape == (4, 2)


class Here:
    """A Dask client that computes at once, in this process."""

    class Done:
        def __init__(self, value: Any) -> None:
            self.value = value

        def done(self) -> bool:
            return True

        def result(self) -> Any:
            return self.value

    def submit(self, function: Any, *arguments: Any, pure: bool) -> Done:
        return self.Done(function(*arguments))


class Lines:
    """Collects the progress of a search."""

    def __init__(self) -> None:
        self.rungs: list[tuple[int, float]] = []
        self.trials: list[tuple[int, int]] = []

    def rung(self, recipes: int, effort: float) -> None:
        self.rungs.append((recipes, effort))

    def trial(self, done: int, recipes: int, line: str) -> None:
        self.trials.append((done, recipes))


@pytest.fixture
def efforts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The efforts of all trials that were computed, in a project of its own without a cluster; a trial takes no time."""
    computed: list[float] = []

    def run(folder: str, use_case: str, recipe: Any, effort: float, path: str) -> TrialResult:
        if Path(path).exists():
            return trial_results.read_tried(tmp_path / "results")[0].result if effort == 1 else TrialResult(drop=0.5)
        computed.append(effort)
        size = 100 + len(str(recipe))
        result = TrialResult(drop=1 / size, bytes=size, size_share=size / 1000, ms=size / 100, speedup=2.0)
        Path(path).parent.mkdir(exist_ok=True)
        write_json(Path(path), {"recipe": recipe, "effort": effort, "result": asdict(result)})
        return result

    (tmp_path / "params.yaml").write_text("use_cases:\n  finance: {}\nrecipes:\n  dense: []\nseeds: []\n")
    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(dask_cluster, "dask_client", lambda *_: nullcontext(Here()))
    return computed


def search_until(root: Path, monkeypatch: pytest.MonkeyPatch, looks: int) -> tuple[list[Tried], Lines, list[Any]]:
    """A search whose time is over when it looks at the clock for the time with number `looks` + 1."""
    moments = iter([0.0, *[1.0] * looks, *[100.0] * 1000])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    workplace, lines = Workplace(root / "workspace", root / "results"), Lines()
    with search.open_study(root, "finance", workplace) as study:
        full = search.search(workplace, "finance", 10.0, study=study, show=lines)
        return full, lines, study.get_trials(deepcopy=False)


def test_a_search_halves_its_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, efforts: list[float]) -> None:
    full, lines, trials = search_until(tmp_path, monkeypatch, 3)  # at its begin and after its first two rungs
    assert efforts == [1 / 9] * 9 + [1 / 3] * 3 + [1.0]
    assert lines.rungs == list(zip([9, 3, 1], search.EFFORTS, strict=True))
    assert lines.trials == [(done, total) for total in (9, 3, 1) for done in range(1, total + 1)]
    assert len(full) == 1
    assert sum(trial.values is not None for trial in trials) == search.GENERATION
    shares = json.loads(trial_results.importances_path(tmp_path / "results").read_text())
    assert shares["trials"] == search.GENERATION
    assert sum(shares["bytes"].values()) == pytest.approx(1)
    assert set(shares["bytes"]) <= {"network", "bits", "teacher_share"}


def test_a_generation_that_was_not_finished_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, efforts: list[float]
) -> None:
    full, _, trials = search_until(tmp_path, monkeypatch, 1)
    assert (full, efforts) == ([], [1 / 9] * 9)
    params = [trial.params for trial in trials if trial.state is TrialState.RUNNING]
    assert len(params) == search.GENERATION
    full, lines, trials = search_until(tmp_path, monkeypatch, 3)
    assert [trial.params for trial in trials if trial.state is TrialState.COMPLETE] == params
    assert efforts == [1 / 9] * 9 + [1 / 3] * 3 + [1.0], "what the first search measured is read"
    assert lines.rungs[0] == (9, 1 / 9)
    assert len(full) == 1


def test_a_search_begins_with_known_recipes_and_tries_none_twice_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, efforts: list[float]
) -> None:
    workplace = Workplace(tmp_path / "workspace", tmp_path / "results")
    with search.open_study(tmp_path, "finance", workplace) as study:
        for start in space.STARTS:
            study.enqueue_trial(start)
            study.enqueue_trial(start)
        trials, recipes = search._propose(study, "finance")
    assert len(trials) == search.GENERATION
    assert all(recipe not in recipes[:place] for place, recipe in enumerate(recipes))
    assert recipes[0] == [{"quantize": {}}]
    assert [kind for step in recipes[1] for kind in step] == ["distill", "qat", "quantize", "int4"]


@pytest.mark.parametrize("start", space.STARTS)
def test_a_known_recipe_is_one_of_the_space(start: Any) -> None:
    assert space.suggest(FixedTrial({"teacher_share": 1.0, **start}), "vision")


def test_another_dense_model_has_a_study_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, efforts: list[float]
) -> None:
    search_until(tmp_path, monkeypatch, 3)
    with search.open_study(tmp_path, "finance", Workplace(tmp_path / "workspace", tmp_path / "others")) as study:
        assert study.get_trials() == []
