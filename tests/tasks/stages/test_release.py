"""The stage release writes a bundle of the model that keeps the contract on test rows, or the reason why there is none."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.compression.steps.quantize import Quantize
from tasks.core.errors import UserError
from tasks.core.exported_baseline import slug
from tasks.core.settings import Contract
from tasks.core.storage.artifacts import Table
from tasks.evaluation import comparison, latency
from tasks.release import model_card
from tasks.stages import compress, evaluate, release
from tasks.stages import latency as latency_stage
from tests.support import tiny_images


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with the toy use case after compress, evaluate and latency for two recipes."""
    root = tmp_path_factory.mktemp("bars")
    patch = pytest.MonkeyPatch()
    patch.setattr(latency, "PROCESSES", 3)
    patch.setattr(latency, "MAX_ROUNDS", 3)
    for name, recipe in (("dense", ()), ("int8", (Quantize(max_drop=1.0),))):
        compress.main(tiny_images.stage_context(root, "compress", name, recipe))
        evaluate.main(tiny_images.stage_context(root, "evaluate", name, recipe))
    latency_stage.main(tiny_images.stage_context(root, "latency"))
    patch.undo()
    return root


def test_evaluation_reports_metrics_drops_and_flipped_rows(root: Any) -> None:
    context = tiny_images.stage_context(root, "evaluate", "int8")
    metrics = context.evaluation("int8").json("metrics.json")
    assert set(metrics["splits"]) == {"validation", "test"}
    test = metrics["splits"]["test"]
    assert test["rows"] == 75
    assert test["interval"]["low"] <= test["scores"]["accuracy"] <= test["interval"]["high"]
    against = metrics["against_dense"]["test"]
    assert against["drop"]["value"] == pytest.approx((against["lost"] - against["won"]) / 75)
    assert against["drop"]["low"] <= against["drop"]["value"] <= against["at_most"]
    assert len(against["flipped"]) == against["lost"] + against["won"]
    assert {row["class"] for row in against["classes"]} == set(tiny_images.NAMES)
    assert metrics["rows"] == {"train": 150, "validation": 75, "test": 75}
    assert metrics["bytes"] == (context.compressed("int8").path / "model.onnx").stat().st_size
    assert 0 < metrics["bytes_share"] < 1
    dense = context.evaluation("dense").json("metrics.json")
    assert "against_dense" not in dense
    assert dense["baselines"]["majority"]["test"]["scores"]["accuracy"] < test["scores"]["accuracy"]
    gains_of_dense = dense["against_rivals"]["test"]
    assert gains_of_dense["gains"]["majority"]["low"] > 0
    assert gains_of_dense["headline"].startswith("The dense network beats its best baseline, majority: accuracy ")


def test_a_baseline_within_the_interval_is_not_beaten() -> None:
    gains = {
        "weak": {"value": 0.3, "low": 0.2, "high": 0.4, "method": "?"},
        "strong": {"value": 0.01, "low": -0.01, "high": 0.03, "method": "?"},
    }
    baselines = {name: {"test": {"scores": {"accuracy": 0.5}}} for name in gains}
    headline = comparison.headline({"accuracy": 0.51}, baselines, gains, "test")
    assert headline.startswith(
        "The dense network does not beat its best baseline, strong: accuracy 0.5100 against 0.5000 on test"
    )
    assert "may be due to chance" in headline


def test_predictions_name_the_origin_of_their_rows(root: Any) -> None:
    predictions = Table(tiny_images.stage_context(root, "evaluate", "int8").evaluation("int8").open() / "predictions").read()
    assert len(predictions) == 150
    assert set(predictions["split"]) == {"validation", "test"}
    assert {"file", "row", "label", "predicted"} <= set(predictions)


def test_the_predictions_of_every_baseline_are_kept_for_the_decision(root: Any) -> None:
    dense = tiny_images.stage_context(root, "evaluate", "dense").evaluation("dense")
    metrics = dense.json("metrics.json")
    for name in metrics["baselines"]:
        predictions = Table(dense.open() / "baselines" / slug(name) / "predictions").read()
        test = predictions[predictions["split"] == "test"]
        share = float((test["label"] == test["predicted"]).mean())
        assert share == pytest.approx(metrics["baselines"][name]["test"]["scores"]["accuracy"])


def test_metrics_hold_no_timings(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "PROCESSES", 3)
    monkeypatch.setattr(latency, "MIN_ROUNDS", 1)
    monkeypatch.setattr(latency, "MAX_ROUNDS", 1)
    context = tiny_images.stage_context(root, "evaluate", "int8")
    before = (context.evaluation("int8").open() / "metrics.json").read_bytes()
    evaluate.main(context)
    assert (context.evaluation("int8").open() / "metrics.json").read_bytes() == before


def test_a_release_holds_the_measured_file_its_card_and_its_table(root: Any) -> None:
    context = tiny_images.stage_context(root, "release")
    release.main(context)
    folder = context.release.open()
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.md",
        "checksums.json",
        "model.onnx",
        "settings.json",
        "table.json",
        "verdict.json",
    ]
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["released"]) == ("released", "int8")
    assert verdict["reason"].startswith("released 'int8': on 75 test rows it loses ")
    assert verdict["decision"] == {
        "split": "test",
        "rows": 75,
        "level": 0.95,
        "tried": 1,
        "method": "each term shown on test rows, Holm over 1 of 1 candidates",
    }
    (candidate,) = verdict["candidates"]
    assert (candidate["status"], candidate["tried"], candidate["misses"]) == ("kept", True, [])
    assert candidate["terms"]["max_drop"]["bound"] <= 0.2
    assert candidate["terms"]["max_drop"]["p"] <= 0.05
    measured = context.compressed("int8").open() / "model.onnx"
    checksums = json.loads((folder / "checksums.json").read_text())
    assert checksums["model.onnx"] == sha256(measured.read_bytes()).hexdigest()
    rows = {row["recipe"]: row for row in json.loads((folder / "table.json").read_text())["rows"]}
    assert rows["int8"]["chosen"]
    assert rows["dense"]["status"] == "baseline"
    assert rows["int8"]["speedup_over"]["eager PyTorch"]["1"]["ratio"] > 0
    front, body = (folder / "card.md").read_text().removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front)["model-index"][0]["results"][0]["metrics"][0]["name"] == "accuracy"
    assert f"## Intended use\n\n{tiny_images.Bars.summary} One file" in body
    assert "## Limits" in body
    assert "| **int8** |" in body


def test_a_refusal_holds_no_model(root: Any) -> None:
    context = tiny_images.stage_context(root, "release", contract=Contract(max_drop=0.2, min_speedup=1000.0, max_size_share=1.0))
    release.main(context)
    folder = context.release.open()
    assert not (folder / "model.onnx").exists()
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["released"]) == ("refused", None)
    assert verdict["reason"].startswith("refused: the only candidate is shown to break the contract; nearest, 'int8' is ")
    assert "1000.00 is required" in verdict["reason"]
    assert "# bars: refused" in (folder / "card.md").read_text()


def test_a_candidate_is_held_against_the_champion_on_the_same_rows(root: Any, tmp_path: Path) -> None:
    contract = Contract(max_drop=0.2, min_speedup=0.01, max_size_share=1.0, beats="champion")
    release.main(tiny_images.stage_context(root, "release", contract=contract))
    verdict = tiny_images.stage_context(root, "release").release.json("verdict.json")
    assert verdict["released"] == "int8", "nothing was promoted: the baseline takes its place"
    champion = tiny_images.stage_context(root, "release").compressed("dense")
    context = tiny_images.stage_context(
        root, "release", contract=replace(contract, champion=str(champion.path.relative_to(root)))
    )
    release.main(context)
    term = context.release.json("verdict.json")["candidates"][0]["terms"]["beats"]
    assert term["value"] == context.evaluation("int8").json("metrics.json")["against_dense"]["test"]["drop"]["value"]


def test_without_a_dense_recipe_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "evaluate", "int8")
    object.__setattr__(context, "recipe_names", ("int8",))
    with pytest.raises(UserError, match=r"recipes has no 'dense'; add `dense: \[\]`"):
        evaluate.main(context)


def test_a_card_of_a_classic_model_does_not_speak_of_a_network() -> None:
    row = {"kind": "baseline", "recipe": "kernel-machine"}
    assert model_card.training(row, {"architecture": "kernel-machine", "fields": {}}, {"epochs": 5}) == (
        "A classic model, `kernel-machine`, fitted to the train rows with scikit-learn; no network."
    )
    own = {"kind": "recipe", "recipe": "int8"}
    assert "with {'width': 3}. Settings: {'epochs': 5}" in model_card.training(
        own, {"architecture": "cnn", "fields": {"width": 3}}, {"epochs": 5}
    )


def test_a_card_warns_of_columns_that_tell_the_label() -> None:
    assert model_card.warnings([]) == ""
    assert model_card.warnings(["column `copy` alone tells the label"]) == (
        "\n\nScores may be too good to be true:\n\n- column `copy` alone tells the label"
    )


def test_a_card_has_error_rates_by_group_where_the_report_has_them() -> None:
    row = {
        "group": "old",
        "rows": 1200,
        "came": 0.2,
        "said": 0.21,
        "auc": None,
        "refused": 0.3,
        "refused_good": 0.2,
        "caught": 0.6,
    }
    sections = model_card.fairness(
        {"threshold": 1 / 6, "fairness": {"AGE": {"groups": [row], "gaps": {"auc": None, "refused": 0.0}}}}
    )
    assert "| old | 1,200 | 0.200 | 0.210 |  | 0.300 | 0.200 | 0.600 |" in sections["Fairness"]
    assert "| widest gap | | | |  | 0.000 |  |  |" in sections["Fairness"]
    assert model_card.fairness({"confusion": []}) == {}


def test_a_term_that_few_rows_cannot_show_leaves_the_verdict_open(root: Any) -> None:
    context = tiny_images.stage_context(root, "release", contract=Contract(max_drop=0.005, min_speedup=0.01, max_size_share=1.0))
    release.main(context)
    verdict = context.release.json("verdict.json")
    assert (verdict["verdict"], verdict["released"]) == ("inconclusive", None)
    assert "more test rows would show it" in verdict["reason"]
    assert verdict["candidates"][0]["needs"]["rows"] > 75


def test_a_term_that_the_use_case_cannot_have_is_said_in_one_line(root: Any) -> None:
    context = tiny_images.stage_context(root, "release", contract=Contract(max_group_gap=0.1))
    with pytest.raises(
        UserError, match=r"contract\.max_group_gap needs groups, and the rows of this use case have none; set it to 0"
    ):
        release.main(context)


@pytest.mark.parametrize(
    ("term", "status"), [({"min_score": 0.05}, "kept"), ({"min_score": 0.9999}, "broken"), ({"max_bytes": 10}, "broken")]
)
def test_optional_terms_are_held_against_the_model(root: Any, term: dict[str, Any], status: str) -> None:
    lenient = {"max_drop": 0.2, "min_speedup": 0.01, "max_size_share": 1.0}
    release.main(tiny_images.stage_context(root, "release", contract=Contract(**lenient, **term)))
    (candidate,) = tiny_images.stage_context(root, "release").release.json("verdict.json")["candidates"]
    assert candidate["terms"][next(iter(term))]["status"] == status
