"""The page that corrects labels: where rows come from, decisions, undoing them, the gain, and the run that applies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dashboard.analysis import correction_gain
from dashboard.readers import label_candidates, prefect_api
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs import run_records
from flows import corrections
from tasks.core.storage.manifest import write_manifest
from tasks.data import sources
from tests.support import recorded_runs
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a finished run of nlp whose raw and clean rows have manifests."""
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root, use_case="nlp", overrides={"use_cases.nlp.training.epochs": 3})
    for name in ("raw", "clean"):
        write_manifest(folder / "data" / "nlp" / name)
    monkeypatch.setenv("BONSAI_USER", "ann")
    return root


def run_of(root: Path) -> tuple[run_records.Run, Artifacts]:
    run = run_records.latest(root, "nlp")[0]
    return run, Artifacts(root, run.folder, "nlp")


def keys(app: Any, prefix: str) -> list[str]:
    return [str(each.key) for each in app.button if str(each.key).startswith(prefix)]


def test_a_mistake_is_relabelled_with_one_click_and_undone_with_another(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "labels", uc="nlp", source="mistakes")
    assert not app.exception
    _, artifacts = run_of(root)
    first = label_candidates.misclassified(artifacts).iloc[0]
    key = f"take_{first['file']}:{first['row']}"
    assert keys(app, "take_")[0] == key
    app.text_input(key="labels_why").set_value("read it").run()
    app.button(key=key).click().run()
    (made,) = corrections.read_decisions(root, "nlp")
    assert (made.action, made.label, made.before, made.by, made.why) == (
        "relabel",
        first["suggested"],
        first["label"],
        "ann",
        "read it",
    )
    assert key not in keys(app, "take_"), "it is decided on"
    assert "1 rows decided since this run" in page_text(app)
    app.button(key="undo").click().run()
    assert [each.action for each in corrections.read_decisions(root, "nlp")] == ["relabel", "withdraw"]
    assert key in keys(app, "take_")


def test_quarantined_rows_are_decided_on(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    _, artifacts = run_of(root)
    rows = label_candidates.quarantined(artifacts)
    empty = rows[rows["text"] == ""].iloc[0]
    app = open_page(monkeypatch, root, "labels", uc="nlp", source="quarantine")
    assert str(empty["reason"]) in page_text(app).replace("\\", "")
    app.button(key=f"exclude_{empty['file']}:{empty['row']}").click().run()
    (made,) = corrections.read_decisions(root, "nlp")
    assert (made.action, made.why) == ("exclude", "quarantined row")


def test_suspected_labels_are_looked_for_once_and_kept(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    run, artifacts = run_of(root)
    assert label_candidates.suspects(artifacts) is None
    label_candidates.find_suspects(run, artifacts)
    found = label_candidates.suspects(artifacts)
    assert found is not None
    assert list(found) == ["file", "row", "split", "label", "suggested", "margin"]
    assert (found["label"] != found["suggested"]).all()
    app = open_page(monkeypatch, root, "labels", uc="nlp")
    first = found.iloc[0]
    assert keys(app, "take_")[0] == f"take_{first['file']}:{first['row']}"
    text = pd.read_parquet(run.folder / "data/nlp/clean/rows/part-00000.parquet").set_index(["file", "row"])["text"]
    assert text.loc[(first["file"], first["row"])][:20] in page_text(app).replace("\\", "")


def test_retraining_asks_for_the_same_run_with_the_decisions(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(prefect_api, "request_run", lambda *request: asked.append(request) or "flow")
    app = open_page(monkeypatch, root, "labels", uc="nlp", source="mistakes")
    assert app.button(key="retrain").disabled
    app.button(key=keys(app, "confirm_")[0]).click().run()
    app.button(key="retrain").click().run()
    assert asked == [(root, ["nlp"], ["int8", "pruned"], {"use_cases.nlp.training.epochs": 3})]


def test_decisions_are_listed_and_withdrawn(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    run, artifacts = run_of(root)
    first = label_candidates.misclassified(artifacts).iloc[0]
    wished = [{"file": first["file"], "row": first["row"], "action": "exclude"}]
    corrections.record(root, "nlp", wished, "a test", workspace=run.folder)
    app = open_page(monkeypatch, root, "labels", uc="nlp", source="decisions")
    text = page_text(app).replace("\\", "")
    assert f"{first['file']}:{first['row']}: excluded (was {first['label']})" in text
    assert "a test" in text
    app.button(key=keys(app, "withdraw_")[0]).click().run()
    assert label_candidates.decided_places(corrections.read_decisions(root, "nlp")) == set()


def test_a_decision_that_cannot_be_recorded_is_explained(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    app = open_page(monkeypatch, root, "labels", uc="nlp", source="mistakes")
    run, _ = run_of(root)
    (run.folder / "data/nlp/raw/part-00000.parquet").write_bytes(b"damaged")
    app.button(key=keys(app, "confirm_")[0]).click().run()
    assert any("damaged" in each.value for each in app.warning)
    assert corrections.read_decisions(root, "nlp") == []


def test_prices_have_no_labels_to_correct(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    app = open_page(monkeypatch, all_use_cases, "labels", uc="finance")
    assert "have no label each" in page_text(app)


def test_the_gain_is_measured_on_test_rows_that_no_decision_touched(root: Path) -> None:
    before, artifacts = run_of(root)
    after_folder = recorded_runs.finished(root, number=3, use_case="nlp")
    rows = artifacts.predictions("dense", "test")
    decided = {(str(rows["file"][0]), int(rows["row"][0]))}
    settings = yaml.safe_load((before.folder / "params.yaml").read_text())
    path = root / "corrections.jsonl"
    path.write_text("{}\n")
    settings["use_cases"]["nlp"]["clean"] = {"corrections": str(path), "fingerprint": sources.fingerprint(path)}
    (after_folder / "params.yaml").write_text(yaml.safe_dump(settings))
    target = after_folder / "data/nlp/evaluations/dense/predictions/part-00000.parquet"
    answers = pd.read_parquet(target)
    is_test = answers["split"] == "test"
    wrong = answers.index[is_test & (answers["label"] != answers["predicted"])]
    answers.loc[wrong, "predicted"] = answers.loc[wrong, "label"]
    answers.to_parquet(target, index=False)
    run = run_records.load(root, after_folder.name)
    found = correction_gain.of_run(run, "nlp", decided)
    assert found is not None
    assert found.before.id == before.id
    kept = rows.iloc[1:]
    share = float((kept["label"] == kept["predicted"]).mean())
    assert found.accuracy_before == pytest.approx(share)
    assert found.accuracy_after == 1.0
    assert found.gain.value == pytest.approx(1 - share)
    assert found.gain.rows == len(kept)
    assert found.gain.low < found.gain.value < found.gain.high
    settings["use_cases"]["nlp"]["training"]["seed"] = 99
    (after_folder / "params.yaml").write_text(yaml.safe_dump(settings))
    assert correction_gain.of_run(run, "nlp", decided) is None, "the runs differ in more than the decisions"


def test_a_damaged_file_of_decisions_is_named(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    path = corrections.path_of(root, "nlp")
    path.parent.mkdir()
    path.write_text(json.dumps({"file": "x"}) + "\n")
    app = open_page(monkeypatch, root, "labels", uc="nlp")
    assert any("line 1: no decision on a row" in each.value.replace("\\", "") for each in app.warning)
