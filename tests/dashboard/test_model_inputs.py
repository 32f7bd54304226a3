"""User input for exported models: texts, files and rows, validated by the use case and predicted without torch."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboard.readers import model_inputs, onnx_models
from dashboard.readers.artifacts import Artifacts
from dashboard.views.predict import image_input
from tasks.core.errors import UserError
from tasks.inference.checked_rows import input_kind
from tests.support import dashboard_scenarios, recorded_runs
from tests.support.dashboard_pages import open_page

BARS = ["ticker", "date", "open", "high", "low", "close", "volume"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = recorded_runs.project(tmp_path_factory.mktemp("asked") / "p")
    for number, name in enumerate(dashboard_scenarios.names()):
        recorded_runs.finished(root, number=number, use_case=name)
    return root


def recorded_model(root: Any, name: Any) -> Any:
    """The use case as its run had it, and its dense model."""
    folder = next(path for path in (root / "runs").iterdir() if f"-{name}-" in path.name)
    artifacts = Artifacts(root, folder, name)
    return (
        model_inputs.load_use_case(root, folder, name),
        onnx_models.load(artifacts.file("compressed/dense/model.onnx")),
        artifacts,
    )


@pytest.mark.parametrize(("name", "kind"), [("vision", "picture"), ("nlp", "text"), ("finance", "table"), ("credit", "table")])
def test_the_input_kind_follows_from_the_schema(project: Any, name: Any, kind: Any) -> None:
    assert input_kind(recorded_model(project, name)[0]) == kind


def test_a_text_is_repaired_predicted_and_explained_by_word(project: Any) -> None:
    case, model, _ = recorded_model(project, "nlp")
    row = model_inputs.row_from_text(case, "  The <b>roots</b> and leaves  want soil ", model)
    assert row["text"].iloc[0] == "The roots and leaves want soil"
    answer = model_inputs.predict(case, model, row)
    assert answer["predicted"].iloc[0] == "gardens"
    parts = model_inputs.word_contributions(case, model, row, model.classes.index("gardens"))
    assert "".join(part.text for part in parts) == row["text"].iloc[0]
    assert {part.text for part in parts if part.weight > 0.02} >= {"roots"}
    assert max(parts, key=lambda part: part.weight).text in ("roots", "leaves", "soil")


def test_a_sentence_that_cleaning_would_reject_is_refused_for_the_same_reason(project: Any) -> None:
    case, model, _ = recorded_model(project, "nlp")
    with pytest.raises(UserError, match="empty"):
        model_inputs.row_from_text(case, " \t ", model)


def test_an_uploaded_file_is_validated_like_the_pipelines_data(project: Any) -> None:
    case, model, artifacts = recorded_model(project, "finance")
    bars = dashboard_scenarios.of("finance").raw[BARS].query("ticker == 'acorn'")
    checked = model_inputs.rows_from_file(case, bars.to_csv(index=False).encode(), "acorn.csv", {})
    assert checked.read == len(bars)
    assert sorted(reason.partition(":")[0] for reason in checked.rejected["reason"]) == ["impossible-bar", "impossible-close"]
    assert set(checked.rejected["file"]) == {"acorn.csv"}
    stored = artifacts.predictions("dense", "test").query("ticker == 'acorn'")
    predictions = model_inputs.predict(case, model, checked.rows).merge(stored, on="next_date", suffixes=("", "_known"))
    assert len(predictions) == len(stored)
    np.testing.assert_allclose(predictions["variance"], predictions["variance_known"], rtol=1e-5)


def test_the_day_after_the_last_is_forecast_too(project: Any) -> None:
    case, _, _ = recorded_model(project, "finance")
    bars = dashboard_scenarios.of("finance").raw[BARS].query("ticker == 'beech'")
    rows = model_inputs.rows_from_file(case, bars.to_csv(index=False).encode(), "beech.csv", {}).rows
    assert rows["date"].max() == pd.Timestamp(bars["date"].max())
    assert rows.sort_values("date")["next_return"].isna().iloc[-1]


def test_a_table_with_free_columns_is_validated_and_predicted(project: Any) -> None:
    case, model, _ = recorded_model(project, "credit")
    table = dashboard_scenarios.of("credit").raw[["label", "income", "age", "sex", "home"]]
    checked = model_inputs.rows_from_file(case, table.to_csv(index=False).encode(), "loans.csv", model.state)
    assert {reason.partition(":")[0] for reason in checked.rejected["reason"]} == {"not-a-number", "empty-label"}
    assert model_inputs.predict(case, model, checked.rows)["predicted"].isin(["paid", "default"]).all()


def test_column_contributions_are_differences_of_the_predicted_probability(project: Any) -> None:
    case, model, _ = recorded_model(project, "credit")
    table = dashboard_scenarios.of("credit").raw[["label", "income", "age", "sex", "home"]]
    rows = model_inputs.rows_from_file(case, table.to_csv(index=False).encode(), "loans.csv", model.state).rows
    rows = rows.dropna().reset_index(drop=True)
    contributions = model_inputs.column_contributions(case, model, rows, 3)
    assert set(contributions["column"]) <= {"income", "age", "sex", "home"}
    assert contributions["worth"].abs().is_monotonic_decreasing
    assert (contributions["value"] != contributions["usual"]).all()
    first = contributions.iloc[0]
    usual = rows.iloc[[3]].assign(**{first["column"]: type(rows[first["column"]].iloc[0])(first["usual"])})
    predictions = model_inputs.predict(case, model, pd.concat([rows.iloc[[3]], usual], ignore_index=True))
    answer = list(predictions["classes"][0]).index(predictions["predicted"][0])
    before, after = (probabilities[answer] for probabilities in predictions["probabilities"])
    assert first["worth"] == pytest.approx(before - after, abs=1e-6)
    assert first["worth"] != 0


def test_columns_that_are_fixed_are_not_explained(project: Any) -> None:
    case, _, artifacts = recorded_model(project, "finance")
    assert model_inputs.free_columns(case, artifacts.rows("clean/rows").head()) == []


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x00\xff\xfe", b"ticker,date,open\nx,2024-01-01,1\n"])
def test_a_file_that_is_no_such_table_is_refused_by_its_own_name(project: Any, content: Any) -> None:
    case, _, _ = recorded_model(project, "finance")
    with pytest.raises(UserError) as error:
        model_inputs.rows_from_file(case, content, "../../etc/mine.csv", {})
    assert "/tmp" not in str(error.value)


def test_entities_are_segmented_by_their_tags() -> None:
    parts = model_inputs.entity_segments("Ann Lee is in Paris", "B-PER I-PER O O B-LOC")
    assert "".join(part for part, _ in parts) == "Ann Lee is in Paris"
    assert [(part, kind) for part, kind in parts if kind] == [("Ann Lee", "PER"), ("Paris", "LOC")]
    assert [kind for _, kind in model_inputs.entity_segments("a B C", "O B-X B-X") if kind] == ["X", "X"]


def test_stored_weights_are_mapped_to_segments_of_the_text() -> None:
    parts = model_inputs.with_stored_weights(
        "an old tree", [{"start": 7, "end": 11, "weight": 0.5}, {"start": 90, "end": 95, "weight": 1.0}]
    )
    assert [(part.text, part.weight) for part in parts] == [("an old ", 0.0), ("tree", 0.5)]


def test_splitting_a_text_into_words_loses_no_character() -> None:
    text = "A <b>b</b> —  naïve 北京 x=1\n"
    assert "".join(model_inputs.split_words(text)) == text


def test_only_the_first_words_of_a_long_text_are_explained(project: Any) -> None:
    case, model, _ = recorded_model(project, "nlp")
    row = pd.DataFrame([{"text": "roots " * 3000, "label": "gardens"}])
    parts = model_inputs.word_contributions(case, model, row, 0)
    assert sum(part.weight != 0 for part in parts) <= model_inputs.MAX_WORDS


@pytest.mark.parametrize(
    ("ground", "mean", "expected"), [(250, [0.13], True), (3, [0.13], False), (3, [0.8], True), (250, None, False)]
)
def test_dark_ink_on_bright_paper_has_another_polarity_than_digits_on_black(ground: int, mean: Any, expected: bool) -> None:
    pixels = np.full((1, 12, 12), ground, np.uint8)
    pixels[0, 4:8, 5:7] = 255 - ground
    assert image_input.has_other_polarity(pixels, mean) == expected
    assert not image_input.has_other_polarity(np.repeat(pixels, 3, axis=0), mean), "colours have no polarity"


@pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")
@pytest.mark.usefixtures("own_main", "no_server", "no_unexpected_error")
def test_a_test_image_is_classified_at_a_click(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "try_it", way="example")
    assert any("Select a test image" in each.value for each in app.info)
    app.button(key="example_0").click().run()
    assert not app.exception
    assert [each.label for each in app.metric].count("Prediction") == 2
