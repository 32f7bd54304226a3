"""The view Robustness of the page Results: offered where it was measured, corruptions and attacks beside dense's."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dashboard.charts import robustness_charts
from dashboard.text import translations
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS
SCORES = {"score": 0.8, "low": 0.7, "high": 0.9, "dense_score": 0.85}
DROP = {"value": 0.05, "low": 0.01, "high": 0.09}
REPORT = {
    "rows": 470,
    "metric": "accuracy",
    "clean": SCORES,
    "corruptions": [
        {"name": "noise", "severity": severity, "rows": 470, **SCORES, "drop": DROP, "from_clean": {"value": 0.0}}
        for severity in (1, 2)
    ]
    + [{"name": "<b>fog</b>", "severity": 1, "rows": 470, **SCORES, "drop": None}],
    "mean": {"score": 0.8, "dense_score": 0.85, "drop": {**DROP, "standard_error": 0.01, "at_most": 0.08}},
    "adversarial": [{"attack": "PGD", "epsilon": 0.1, "rows": 100, **SCORES, "drop": DROP}],
    "adversarial_note": "white box",
}


def project(root: Any, folder: Path, report: Any, use_case: str = "vision") -> Path:
    """A copy of the recorded runs in which int8 has this robustness."""
    copied = Path(shutil.copytree(root, folder / "p"))
    for path in copied.glob(f"runs/*/data/{use_case}/evaluations/int8/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"robustness": report}))
    return copied


def test_corruptions_and_attacks_are_listed_beside_dense(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = project(all_use_cases, tmp_path, REPORT)
    app = open_page(monkeypatch, root, "results", uc="vision", recipe="int8", view="robustness")
    assert not app.exception
    assert "0.0500" in page_text(app)
    corruptions, attacks = (each.value for each in app.dataframe if "dense_value" in each.value)
    assert list(corruptions["condition"][:3]) == ["unchanged", "Noise, severity 1", "Noise, severity 2"]
    assert list(attacks["condition"]) == ["PGD, 10.0 %"]
    assert attacks["drop"].iloc[0] == 0.05
    assert any("same 470 test rows" in each.value for each in app.caption)


def test_without_attacks_the_view_says_why(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path) -> None:
    root = project(all_use_cases, tmp_path, {**REPORT, "adversarial": []})
    app = open_page(monkeypatch, root, "results", uc="vision", recipe="int8", view="robustness")
    assert not app.exception
    assert translations.text("en", "robustness.no_attacks") in [each.value for each in app.caption]


@pytest.mark.parametrize("use_case", ["vision", "finance"])
def test_files_without_robustness_do_not_offer_the_view(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, use_case: str
) -> None:
    app = open_page(monkeypatch, all_use_cases, "results", uc=use_case, recipe="int8")
    assert not app.exception
    assert "Robustness" not in page_text(app)


def test_regimes_of_a_risk_forecast_are_shown_too(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path) -> None:
    regimes = [{"name": "calm days", "severity": 1, "rows": 300, **SCORES, "drop": DROP}]
    root = project(all_use_cases, tmp_path, {"rows": 900, "corruptions": regimes}, "finance")
    app = open_page(monkeypatch, root, "results", uc="finance", recipe="int8", view="robustness")
    assert not app.exception
    assert any("Calm days" in set(each.value.get("condition", [])) for each in app.dataframe)


def test_the_chart_keeps_every_condition_and_the_order_of_the_models() -> None:
    import pandas as pd

    rows = pd.DataFrame(
        [(f"c{number}", model, 0.5, low, low) for number in range(9) for model, low in (("int8", 0.4), ("dense", None))],
        columns=["condition", "model", "value", "low", "high"],
    )
    drawn = robustness_charts.conditions(rows, value="accuracy", order=["int8", "dense"]).to_dict()
    assert drawn["layer"][0]["encoding"]["y"]["sort"] == [f"c{number}" for number in range(9)]
    assert drawn["layer"][2]["encoding"]["color"]["sort"] == ["int8", "dense"]
