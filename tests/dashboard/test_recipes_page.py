"""The page Recipes and tuning: recipes edited and undone, the front of a search, trials of tuning, and what is written."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.analysis.parameter_fields import Field
from dashboard.readers.searches import recipe_trials, search_process
from dashboard.readers.searches.search_process import Search
from dashboard.views.recipes import tuning
from flows.recipe_search.trial import TrialResult
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_json
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS

SMALL: Any = ([{"prune": {"ratio": 0.7}}, {"quantize": {}}], TrialResult(0.004, 0.001, 0.007, 100, 0.1, 1.0, 4.0, 3.9, 4.1))
FAST: Any = ([{"distill": {"width_share": 0.2}}], TrialResult(0.002, -0.001, 0.005, 200, 0.2, 0.4, 10.0, 9.0, 11.0))
EXACT: Any = ([{"quantize": {"mode": "static"}}], TrialResult(0.0, -0.001, 0.001, 300, 0.3, 2.0, 2.0, 1.9, 2.1))
WORSE: Any = ([{"cast": {}}], TrialResult(0.01, 0.005, 0.02, 500, 0.5, 4.0, 1.0, 0.9, 1.1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return recorded_runs.project(tmp_path / "p")


def recipes(root: Path) -> Any:
    return yaml.safe_load((root / "params.yaml").read_text())["recipes"]


RESULTS = "vision-results-0123456789ab"


def try_recipes(root: Path, *tried: Any, effort: float = 1.0) -> None:
    settings = recipe_trials.settings_hash(root, "vision")
    write_json(root / ".bonsai" / "recipes" / "vision-newest.json", {"settings": settings, "results": RESULTS})
    for number, (recipe, result) in enumerate(tried):
        write_json(root / ".bonsai" / "recipes" / RESULTS / f"{number}-{effort:.2f}.json", entry(recipe, result, effort))


def entry(recipe: Any, result: TrialResult, effort: float) -> dict[str, Any]:
    return {"recipe": recipe, "effort": effort, "result": asdict(result)}


def study(root: Path, values: Any) -> None:
    trials = [
        {"number": number, "state": "complete", "value": value, "params": {"training.learning_rate": rate}}
        for number, (rate, value) in enumerate(values)
    ]
    report = {"direction": "maximize", "trials": trials, "importances": {"training.learning_rate": 1.0}}
    write_json(root / ".bonsai" / "tuning" / "vision" / "study.json", report)


def test_the_recipes_are_listed_with_their_steps(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "recipes")
    text = page_text(app)
    assert all(f"**{name}**" in text for name in ("dense", "int8", "pruned"))
    assert "8-bit quantization" in text
    assert "with which every recipe is compared" in text
    assert not any(button.key == "edit_dense" for button in app.button)


def test_a_recipe_is_added_from_steps_and_undone(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    before = (root / "params.yaml").read_text()
    app = open_page(monkeypatch, root, "recipes")
    app.button(key="add_recipe").click().run()
    assert "Add at least one step" in page_text(app)
    assert app.button(key="save_recipe").disabled
    app.button(key="add_step_quantize").click().run()
    app.button(key="add_step_prune").click().run()
    ratio = next(each for each in app.number_input if each.key.endswith("_ratio"))
    assert (ratio.min, ratio.max) == (0.0, 1.0)
    ratio.set_value(0.25).run()
    app.button(key="save_recipe").click().run()
    assert recipes(root)["prune-quantize"] == [{"prune": {"ratio": 0.25}}, {"quantize": {}}], "the network comes first"
    assert "was added" in page_text(app)
    assert any("+  prune-quantize:" in each.value for each in app.code)
    app.button(key="undo_params").click().run()
    assert (root / "params.yaml").read_text() == before


def test_steps_are_edited_moved_and_removed(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "recipes")
    app.button(key="edit_pruned").click().run()
    app.button(key="add_step_finetune").click().run()
    app.button(key="add_step_cast").click().run()
    enabled = [button.key.partition("_")[0] for button in app.button if not button.disabled and "_" in (button.key or "")]
    assert enabled.count("up") == 1, "a step of the format cannot move before one of the network"
    next(button for button in app.button if button.key.startswith("up_") and not button.disabled).click().run()
    app.text_input(key="recipe_name").set_value("tuned-pruned").run()
    app.button(key="save_recipe").click().run()
    assert recipes(root)["tuned-pruned"] == [{"finetune": {}}, {"prune": {}}, {"cast": {}}]
    assert "pruned" not in recipes(root)
    app.button(key="edit_tuned-pruned").click().run()
    next(button for button in app.button if button.key.startswith("drop_")).click().run()
    app.button(key="save_recipe").click().run()
    assert recipes(root)["tuned-pruned"] == [{"prune": {}}, {"cast": {}}]
    app.button(key="remove_tuned-pruned_yes").click().run()
    assert set(recipes(root)) == {"dense", "int8"}


def test_a_wrong_value_is_named_and_cannot_be_saved(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "recipes")
    app.button(key="edit_pruned").click().run()
    next(each for each in app.number_input if each.key.endswith("_ratio")).set_value(1.0).run()
    assert any("ratio" in each.value and "less than 1" in each.value for each in app.warning)
    assert app.button(key="save_recipe").disabled
    app.text_input(key="recipe_name").set_value("int8").run()
    assert any("already" in each.value for each in app.warning)


def test_a_value_that_a_widget_cannot_hold_opens_as_the_default(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("prune: {}", "prune: {ratio: 7, scope: all, effort: 2}"))
    app = open_page(monkeypatch, root, "recipes")
    app.button(key="edit_pruned").click().run()
    assert not app.exception
    app.button(key="save_recipe").click().run()
    assert recipes(root)["pruned"] == [{"prune": {"ratio": 0.5, "scope": "group", "effort": 2}}]


def test_what_was_entered_stays_while_another_view_is_open(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "recipes")
    app.button(key="edit_pruned").click().run()
    next(each for each in app.number_input if each.key.endswith("_ratio")).set_value(0.125).run()
    app.segmented_control(key="at_view").set_value("search").run()
    app.segmented_control(key="at_view").set_value("edit").run()
    assert next(each for each in app.number_input if each.key.endswith("_ratio")).value == 0.125
    assert app.text_input(key="recipe_name").value == "pruned"


def test_the_front_of_a_search_is_shown_and_its_best_recipe_is_written(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    try_recipes(root, SMALL, FAST, EXACT, WORSE)
    try_recipes(root, ([{"lowrank": {}}], WORSE[1]), SMALL, effort=1 / 9)
    shares = {"trials": 9, "drop": {}, "ms": {"network": 0.8, "bits": 0.2}, "bytes": {"bits": 1.0}}
    write_json(root / ".bonsai" / "recipes" / f"{RESULTS}-importances.json", shares)
    trials = recipe_trials.read(root, "vision", RESULTS)
    assert [one.result.bytes for one in trials.front] == [100, 200, 300]
    assert [one.recipe for one in trials.dominated] == [WORSE[0]]
    assert [one.recipe for one in trials.partial] == [[{"lowrank": {}}]], "a recipe counts with the most effort that it got"
    app = open_page(monkeypatch, root, "recipes", view="search")
    assert not app.exception
    (front,) = [each for each in app.selectbox if each.key.startswith("front_")]
    assert len(front.options) == 3
    assert app.segmented_control(key="at_measure").options == ["Latency", "Size"], "nothing is known of the drop"
    assert "Weak evidence: 9 trials only" in page_text(app)
    front.select_index(1).run()
    app.button(key="use_recipe").click().run()
    assert recipes(root)["searched"] == FAST[0]
    assert "was added" in page_text(app)
    assert "It is in `params.yaml` as **searched**" in page_text(app)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("seed: 7", "seed: 8"))
    app.run()
    assert "Nothing was searched yet" in page_text(app), "these were trials on another dense model"


def test_tuning_shows_its_best_trial_and_writes_it(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    study(root, [(0.1, 0.7), (0.01, 0.9), (0.001, 0.8)])
    app = open_page(monkeypatch, root, "recipes", view="tuning")
    assert not app.exception
    text = page_text(app)
    assert "0.9000" in text
    assert "Weak evidence: 3 trials only" in text
    assert app.selectbox(key="trial_vision").options[0] == "Best · Trial 1 · 0.9000"
    app.button(key="use_settings").click().run()
    stanza = yaml.safe_load((root / "params.yaml").read_text())["use_cases"]["vision"]
    assert stanza["training"]["learning_rate"] == 0.01
    assert "These are the settings" in page_text(app)
    app.button(key="undo_params").click().run()
    assert "learning_rate" not in yaml.safe_load((root / "params.yaml").read_text())["use_cases"]["vision"]["training"]


def test_starting_a_search_and_tuning_runs_the_commands(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    started: list[Any] = []
    monkeypatch.setattr(search_process, "start", lambda *arguments: started.append(arguments[1:4]))
    app = open_page(monkeypatch, root, "recipes", view="search")
    app.button(key="start_search").click().run()
    assert started.pop() == ("vision", "compress", ["--budget", "30m"])
    study(root, [(0.1, 0.7), (0.01, 0.9)])
    app.segmented_control(key="at_view").set_value("tuning").run()
    app.multiselect(key="tuned_vision").set_value(["training.epochs"]).run()
    app.number_input(key="space_vision_training.epochs_low").set_value(2).run()
    app.number_input(key="space_vision_training.epochs_high").set_value(9).run()
    app.button(key="start_tuning_now").click().run()
    assert started == [("vision", "tune", ["--over", "training.epochs=2..9", "--trials", "12"])], "2 were tried before"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("training.learning_rate", "number", 0.01, low=0.0, high=1.0), (0.001, 0.1)),
        (Field("training.learning_rate", "number", 0.5, low=0.0, high=1.0), (0.05, 1.0)),
        (Field("training.epochs", "whole", 8, low=1, high=10), (4, 10)),
        (Field("training.mixup", "number", 0.0, low=0.0, high=1.0), (0.0, 1.0)),
    ],
)
def test_a_range_lies_around_the_present_value_and_within_its_bounds(field: Field, expected: Any) -> None:
    assert tuning.default_range(field) == pytest.approx(expected)


def test_a_search_that_fails_says_why_and_the_page_lives_on(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    search = search_process.start(root, "nothing", "tune", [], {"before": 0, "trials": 1})
    ended = wait_for_end(root, "nothing", "tune")
    assert ended.state == "failed"
    assert "no use case 'nothing'" in ended.error()
    (search.folder).rename(search.folder.with_name("vision-tune"))
    app = open_page(monkeypatch, root, "recipes", view="tuning")
    assert any("use case 'nothing'" in each.value.replace("\\", "") for each in app.warning)


def test_a_search_is_cancelled_and_meanwhile_no_second_one_starts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_process, "SAVE_EXIT_CODE", 'sleep 300; echo $? > "$0"')
    search = search_process.start(root, "vision", "compress", ["--budget", "10m"], {"budget_s": 600})
    assert search_process.read(root, "vision", "compress").is_running
    with pytest.raises(UserError, match="runs already"):
        search_process.start(root, "vision", "compress", [])
    search_process.cancel(search)
    assert wait_for_end(root, "vision", "compress").state == "cancelled"


def test_a_search_whose_process_vanished_has_crashed(root: Path) -> None:
    folder = root / search_process.FOLDER / "vision-compress"
    record = {
        "command": ["compress", "vision"],
        "started_at": "2026-11-20T09:30:00+00:00",
        "process": {},
        "facts": {"budget_s": 60},
    }
    write_json(folder / "search.json", record)
    assert search_process.read(root, "vision", "compress").state == "crashed"
    (folder / "exit_code").write_text("137\n")
    assert search_process.read(root, "vision", "compress").state == "crashed", "a signal ended it"
    (folder / "exit_code").write_text("0\n")
    assert search_process.read(root, "vision", "compress").state == "completed"
    (folder / "search.json").write_text(json.dumps({**record, "facts": None}))
    assert search_process.read(root, "vision", "compress") is None


def wait_for_end(root: Path, use_case: str, kind: Any) -> Search:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        search = search_process.read(root, use_case, kind)
        if search and not search.is_running:
            return search
        time.sleep(0.05)
    raise AssertionError("the search did not end")
