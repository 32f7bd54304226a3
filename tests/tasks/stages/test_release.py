"""A release keeps its contract with 95 % confidence; otherwise nothing is released, and the report says why."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.compression.steps.quantize import Quantize
from tasks.core.artifacts import Table
from tasks.core.errors import UserError
from tasks.core.settings import Contract
from tasks.evaluation import comparison, latency
from tasks.release import decision, model_card
from tasks.stages import compress, evaluate, release
from tests.support import tiny_images

CONTRACT = Contract(max_drop=0.01, min_speedup=3.0, max_size_share=0.15)


def candidate(
    name: Any = "int8",
    *,
    drop: Any = 0.002,
    at_most: Any = 0.006,
    ratio: Any = 4.0,
    at_least: Any = 3.8,
    share: Any = 0.1,
    accuracy: Any = 0.99,
    blockers: Any = (),
) -> Any:
    metrics = {
        "bytes_share": share,
        "against_dense": {"validation": {"drop": {"value": drop}, "at_most": at_most}},
        "splits": {"validation": {"first": "accuracy", "scores": {"accuracy": accuracy}, "objections": list(blockers)}},
    }
    timing = {"variants": {name: {"speedup_over": {"dense": {"1": {"ratio": ratio, "at_least": at_least}}}}}}
    return decision.assess(name, metrics, timing, CONTRACT, 1)


def test_a_term_is_kept_when_its_confidence_bound_keeps_it() -> None:
    assert candidate().status == "kept"


def test_a_term_that_only_the_estimate_keeps_is_not_shown() -> None:
    result = candidate(at_most=0.012)
    assert (result.status, result.terms["max_drop"]["status"]) == ("not shown", "not shown")
    assert result.misses == ["loses 0.0020 of accuracy on validation, 95 % upper bound 0.0120; 0.0100 is allowed"]
    assert candidate(at_least=2.9).status == "not shown"


@pytest.mark.parametrize("change", [{"drop": 0.02, "at_most": 0.03}, {"ratio": 2.5, "at_least": 2.4}, {"share": 0.2}])
def test_a_term_that_the_estimate_misses_is_broken(change: Any) -> None:
    result = candidate(**change)
    assert result.status == "broken"
    assert len(result.misses) == 1


def test_the_recipe_of_least_bytes_times_time_that_keeps_the_contract_is_chosen() -> None:
    verdict = decision.decide(
        [candidate("small", share=0.05, ratio=4.0), candidate("fast", share=0.1, ratio=6.0), candidate("bad", share=0.5)],
        CONTRACT,
    )
    assert verdict["released"] == "small"
    why = {each["recipe"]: each["why"] for each in verdict["candidates"]}
    assert why["fast"] == "keeps the contract, but costs 1.33 times what 'small' does (bytes times time)"
    assert why["bad"] == "has 0.500 of dense's bytes; 0.150 is allowed"
    assert "2 of 3 recipes keep the contract" in verdict["reason"]


def test_of_equal_costs_the_more_accurate_is_chosen() -> None:
    pair = [candidate("first", ratio=4.0, accuracy=0.98), candidate("second", ratio=3.9, accuracy=0.99)]
    assert decision.decide(pair, CONTRACT)["released"] == "second"


def test_when_no_recipe_keeps_the_contract_nothing_is_released_and_the_nearest_are_named() -> None:
    verdict = decision.decide([candidate("far", drop=0.5, at_most=0.6, share=0.9), candidate("near", at_most=0.011)], CONTRACT)
    assert verdict["released"] is None
    assert verdict["reason"].startswith("nothing released: no recipe keeps the contract. Nearest: 'near' loses 0.0020")
    assert "'far'" in verdict["reason"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with the toy use case after compress and evaluate for two recipes."""
    root = tmp_path_factory.mktemp("bars")
    patch = pytest.MonkeyPatch()
    patch.setattr(latency, "PROCESSES", 3)
    patch.setattr(latency, "MAX_ROUNDS", 3)
    for name, recipe in (("dense", ()), ("int8", (Quantize(max_drop=1.0),))):
        compress.main(tiny_images.stage_context(root, "compress", name, recipe))
        evaluate.main(tiny_images.stage_context(root, "evaluate", name, recipe))
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


def test_a_blocker_forbids_a_release_whatever_the_metrics() -> None:
    result = candidate("odd", blockers=["its 1% quantile is undercut too often"])
    assert result.status == "broken"
    assert result.misses == ["its 1% quantile is undercut too often"]


def test_predictions_name_the_origin_of_their_rows(root: Any) -> None:
    predictions = Table(tiny_images.stage_context(root, "evaluate", "int8").evaluation("int8").open() / "predictions").read()
    assert len(predictions) == 150
    assert set(predictions["split"]) == {"validation", "test"}
    assert {"file", "row", "label", "predicted"} <= set(predictions)


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
        "table.json",
        "verdict.json",
    ]
    assert json.loads((folder / "verdict.json").read_text())["released"] == "int8"
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
    assert verdict["released"] is None
    assert "1000.00 is required" in verdict["reason"]
    assert "# bars: no release" in (folder / "card.md").read_text()


def test_without_a_dense_recipe_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    context = tiny_images.stage_context(tmp_path, "evaluate", "int8")
    object.__setattr__(context, "recipe_names", ("int8",))
    with pytest.raises(UserError, match=r"recipes has no 'dense'; add `dense: \[\]`"):
        evaluate.main(context)


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
