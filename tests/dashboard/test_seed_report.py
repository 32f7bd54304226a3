"""A release of several seeds: pages show the chosen seed's models, and a table tells skill from luck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis import parameter_fields
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs import run_records
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS
SPREAD = {"values": [0.95, 0.97], "mean": 0.96, "sd": 0.0141, "low": 0.83, "high": 1.09}
DROP = {"values": [0.02, 0.021], "mean": 0.0205, "sd": 0.0007, "low": 0.0141, "high": 0.0269}
REPORT = {
    "chosen": 8,
    "seeds": [7, 8],
    "metric": "accuracy",
    "recipes": [
        {"recipe": "dense", "validation": SPREAD, "test": SPREAD, "test_drop": None, "beyond_seed_variance": None},
        {"recipe": "int8", "validation": SPREAD, "test": SPREAD, "test_drop": DROP, "beyond_seed_variance": True},
    ],
    "rank_stability": {"validation": 1.0, "test": None},
    "sentence": "over 2 seeds",
}


def test_files_of_a_recipe_are_those_of_the_chosen_seed(tmp_path: Path) -> None:
    release = tmp_path / "data" / "vision" / "release"
    release.mkdir(parents=True)
    for recipe in ("int8", "dense", "seeds/8/dense"):
        (tmp_path / "data" / "vision" / "evaluations" / recipe).mkdir(parents=True)
    artifacts = Artifacts(tmp_path, tmp_path, "vision")
    assert artifacts.recipes() == ["dense", "int8"]
    assert (artifacts.of_recipe("compressed", "int8"), artifacts.has_seeds) == ("compressed/int8", False)
    (release / "seeds.json").write_text(json.dumps(REPORT))
    assert (artifacts.of_recipe("compressed", "int8"), artifacts.has_seeds) == ("compressed/seeds/8/int8", True)
    (release / "seeds.json").write_text(json.dumps({**REPORT, "chosen": 7}))
    assert artifacts.of_recipe("compressed", "int8") == "compressed/int8"


def test_the_name_of_a_stage_of_an_additional_seed_ends_in_the_seed() -> None:
    assert run_records.stage_parts("train_seed@vision-8") == ("train_seed", "vision", "#8")
    assert run_records.stage_parts("compress_seed@vision-pruned-int8-8") == ("compress_seed", "vision", "pruned-int8 #8")


def test_the_form_of_a_run_asks_for_the_number_of_seeds_after_the_seed(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "project")
    form = parameter_fields.form(root, "vision")
    names = [field.name for field in form.fields]
    assert names[names.index("training.seed") + 1] == parameter_fields.SEEDS
    (field,) = [field for field in form.fields if field.name == parameter_fields.SEEDS]
    assert (field.kind, field.default, field.low, field.high) == ("whole", 1, 1, 100)
    assert parameter_fields.changed(form, {"training.seeds": 5}) == {"training.seeds": 5}


@pytest.mark.parametrize(("language", "words"), [("en", "Over 2 seeds"), ("zh", "2 个随机种子")])
def test_the_view_seeds_shows_mean_and_spread_of_each_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    root = recorded_runs.project(tmp_path / "project")
    recorded_runs.finished(root)
    (run,) = (root / "runs").iterdir()
    report = {**REPORT, "chosen": 7}
    (run / "data" / "vision" / "release" / "seeds.json").write_text(json.dumps(report))
    recorded_runs.seal(run / "data" / "vision" / "release")
    app: Any = open_page(monkeypatch, root, "compression", view="seeds", lang=language)
    assert words in page_text(app)
    table = app.get("dataframe")[0].value if hasattr(app.get("dataframe")[0], "value") else app.dataframe[0].value
    assert "0.9600 ± 0.0141" in table.to_string()
    assert "+0.0205 ± 0.0007" in table.to_string()
