"""A released model: raw inputs in, the answers that its own rows got in the pipeline out, bad inputs with their reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.params_file import build_use_case, read_params
from tasks.core.storage.artifacts import Artifact, Table, read_split
from tasks.inference.released_model import ReleasedModel, load_release
from tasks.release.settings_file import settings_of
from tests.support import dashboard_scenarios, recorded_runs

BARS = ["ticker", "date", "open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = recorded_runs.project(tmp_path_factory.mktemp("released") / "p")
    names = dashboard_scenarios.names()
    return {name: recorded_runs.finished(root, number=number, use_case=name) for number, name in enumerate(names)}


def release(runs: dict[str, Path], name: str, place: Path) -> ReleasedModel:
    """The dense model of a recorded run, released with its settings."""
    case = build_use_case(name, read_params(runs[name] / "params.yaml"))
    with Artifact(place / name).draft() as draft:
        shutil.copyfile(runs[name] / "data" / name / "compressed" / "dense" / "model.onnx", draft / "model.onnx")
        (draft / "settings.json").write_text(json.dumps(settings_of(case)))
    return load_release(place / name)


def test_rows_of(runs: dict[str, Path], name: str) -> pd.DataFrame:
    return read_split(Table(runs[name] / "data" / name / "clean" / "rows"), "test").head(20)


test_rows_of.__test__ = False  # type: ignore[attr-defined]


def expected_table(model: ReleasedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """The decoded predictions for clean rows, as evaluate makes them."""
    inputs, _ = model.case.encode(rows, model.model.state)
    outputs = onnx_model.predict((model.folder / "model.onnx").read_bytes(), inputs)
    return model.case.problem_of(model.model.state).decode(rows, outputs, model.model.state)


def inputs_of(name: str, rows: pd.DataFrame) -> list[Any]:
    if name == "vision":
        return list(rows["image"])
    if name == "nlp":
        return list(rows["text"])
    columns = [
        column
        for column in rows
        if column not in ("label", "label_kind", "alike", "same", "groups", "split", "fix", "file", "row")
    ]
    return [{key: None if pd.isna(value) else value for key, value in row.items()} for row in rows[columns].to_dict("records")]


@pytest.mark.parametrize("name", ["vision", "nlp", "credit"])
def test_raw_inputs_get_the_answers_that_evaluate_recorded_for_their_rows(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    model, rows = release(runs, name, tmp_path), test_rows_of(runs, name)
    answers, expected = model.predict(inputs_of(name, rows)), expected_table(model, rows)
    assert [answer["predicted"] for answer in answers] == expected["predicted"].tolist()
    assert [answer["confidence"] for answer in answers] == pytest.approx(expected["confidence"].tolist(), abs=1e-6)
    probabilities = [list(answer["probabilities"].values()) for answer in answers]
    assert np.allclose(probabilities, np.stack(expected["probabilities"].to_list()), atol=1e-6)
    assert "label" not in answers[0]


def test_bars_of_a_series_are_forecast_where_they_have_their_past_and_the_last_day_too(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    model = release(runs, "finance", tmp_path)
    raw = pd.concat(list(Table(runs["finance"] / "data/finance/raw").partitions()))
    bars = [{name: str(value) for name, value in row.items()} for row in raw[BARS].to_dict("records")]
    answers = model.predict(bars)
    assert len(answers) == len(bars)
    assert "earlier days" in answers[0]["error"]
    rows = read_split(Table(runs["finance"] / "data/finance/clean/rows"), "context")
    last = max(answer["date"][:10] for answer in answers if "variance" in answer)
    assert last == f"{rows['date'].max():%Y-%m-%d}", "the day after the last one is forecast too"
    rows = test_rows_of(runs, "finance")
    by_day = {(answer["ticker"], answer["date"][:10]): answer["variance"] for answer in answers if "variance" in answer}
    for ticker, day, variance in expected_table(model, rows)[["ticker", "date", "variance"]].itertuples(index=False):
        assert by_day[ticker, f"{day:%Y-%m-%d}"] == pytest.approx(variance, rel=1e-5)


def test_a_bad_input_has_its_reason_in_its_place_and_the_others_their_answer(runs: dict[str, Path], tmp_path: Path) -> None:
    model = release(runs, "vision", tmp_path)
    image = test_rows_of(runs, "vision")["image"].iloc[0]
    answers = model.predict([image, b"no picture", image])
    assert answers[0] == answers[2]
    assert answers[1]["error"].startswith("unreadable")
    with pytest.raises(UserError, match="expected the bytes of a picture, got str"):
        model.predict(["a path"])
    assert model.predict([]) == []


def test_files_are_answered_with_their_names_and_lines(runs: dict[str, Path], tmp_path: Path) -> None:
    model = release(runs, "nlp", tmp_path)
    texts = test_rows_of(runs, "nlp")["text"].tolist()
    (tmp_path / "texts.txt").write_text("\n".join([texts[0], "", texts[1]]))
    pd.DataFrame({"review": texts[:3]}).to_csv(tmp_path / "texts.csv", index=False)
    (lines,), (table,) = (list(model.predict_path(tmp_path / name)) for name in ("texts.txt", "texts.csv"))
    assert lines.rows[["file", "row"]].to_numpy().tolist() == [["texts.txt", 1], ["texts.txt", 3]]
    assert table.rows["predicted"].tolist() == [answer["predicted"] for answer in model.predict(texts[:3])]
    with pytest.raises(UserError, match=r"texts\.txt"):
        list(model.predict_path(tmp_path / "text.txt"))


def test_a_folder_of_pictures_is_answered_file_by_file(runs: dict[str, Path], tmp_path: Path) -> None:
    model = release(runs, "vision", tmp_path)
    images = test_rows_of(runs, "vision")["image"].tolist()
    for number, image in enumerate(images[:3]):
        (tmp_path / "photos" / "more").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "more" / f"{number}.png").write_bytes(image)
    (answers,) = model.predict_path(tmp_path / "photos")
    assert answers.rows["file"].tolist() == ["more/0.png", "more/1.png", "more/2.png"]
    assert answers.rows["predicted"].tolist() == [answer["predicted"] for answer in model.predict(images[:3])]


def test_a_record_without_a_column_of_the_model_is_refused_by_name(runs: dict[str, Path], tmp_path: Path) -> None:
    model = release(runs, "credit", tmp_path)
    record = inputs_of("credit", test_rows_of(runs, "credit"))[0]
    missing = next(iter(model.model.state["numbers"]))
    with pytest.raises(UserError, match=f"the records.*{missing}"):
        model.predict([{name: value for name, value in record.items() if name != missing}])


def test_a_folder_without_a_released_model_says_why(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load_release(tmp_path / "data/vision/release")
    with Artifact(tmp_path / "none").draft() as draft:
        (draft / "verdict.json").write_text(json.dumps({"reason": "inconclusive: 40 rows more would show it"}))
    with pytest.raises(UserError, match="40 rows more would show it"):
        load_release(tmp_path / "none")


def test_settings_of_a_release_name_no_folder_of_its_author(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text("a\n1\n")
    params = read_params(Path("params.yaml"))
    params.use_cases["credit"] = {"fetch": {"path": str(tmp_path / "loans.csv"), "fingerprint": "00"}}
    assert settings_of(build_use_case("credit", params))["fetch"] == {"source": "path", "path": "loans.csv"}
