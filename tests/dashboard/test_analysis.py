"""Computations behind the pages: graph layout, Pareto front, threshold curves, histograms, forms, run differences."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from dashboard.analysis import column_drift, graph_layout, parameter_fields, pareto_front, run_differences, threshold_curves
from dashboard.analysis.parameter_fields import Field
from dashboard.charts import data_charts
from dashboard.readers import onnx_models
from dashboard.readers.artifact_models import Gain
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.text import cron_text, formatting
from dashboard.ui import image_grid, widgets
from dashboard.views.data import quality
from dashboard.views.predict import model_comparison
from dashboard.views.predict.model_comparison import center_drawing
from flows.parameters.overrides import parse_overrides
from tasks.core.errors import UserError
from tests.support import recorded_runs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = recorded_runs.project(tmp_path_factory.mktemp("project") / "p")
    recorded_runs.finished(root)
    recorded_runs.finished(root, number=1)
    return root


@pytest.fixture(scope="module")
def artifacts(root: Any) -> Any:
    return Artifacts(root, root / "runs" / run_records.run_ids(root)[0], "vision")


def test_stages_are_placed_in_columns_by_depth_and_rows_by_recipe() -> None:
    drawn = graph_layout.compute_layout(recorded_runs.NEEDS)
    assert drawn.places["fetch@vision"] == (0, 0)
    assert drawn.places["compress@vision-dense"][1] == drawn.places["evaluate@vision-dense"][1] == -1
    assert drawn.places["release@vision"][0] == 6
    assert len(set(drawn.places.values())) == len(recorded_runs.NEEDS)


def test_implied_dependencies_are_omitted_and_comparisons_are_marked() -> None:
    edges = {(edge.source, edge.target): edge.aside for edge in graph_layout.compute_layout(recorded_runs.NEEDS).edges}
    assert ("clean@vision", "train@vision") not in edges
    assert edges[("compress@vision-dense", "evaluate@vision-int8")]
    assert not edges[("compress@vision-int8", "evaluate@vision-int8")]
    assert ("compress@vision-int8", "release@vision") not in edges


def test_each_recipe_is_a_chain_between_the_first_stages_and_release() -> None:
    chains = graph_layout.compute_layout(recorded_runs.NEEDS).chains
    assert chains[0] == ("fetch@vision", "clean@vision", "augment@vision", "train@vision")
    assert ("compress@vision-int8", "evaluate@vision-int8") in chains
    assert chains[-1] == ("latency@vision", "release@vision")


def test_no_two_stages_have_the_same_place() -> None:
    needs = {"a@x": [], "b@x": ["a@x"], "c@x-r": ["a@x"], "d@x-r": ["a@x"], "e@x": ["b@x", "d@x-r"], "f@x": ["missing"]}
    drawn = graph_layout.compute_layout(needs)
    assert len(set(drawn.places.values())) == len(needs)
    assert graph_layout.compute_layout({}).places == {}


def test_the_pareto_front_has_no_dominated_recipe() -> None:
    frame = pd.DataFrame({"recipe": list("abcd"), "cost": [1.0, 2, 3, 4], "value": [0.8, 0.7, 0.9, 0.85]})
    assert list(pareto_front.front(frame)["recipe"]) == ["a", "c"]
    assert list(pareto_front.front(frame, higher=False)["recipe"]) == ["a", "b"]


@pytest.mark.parametrize("cost", pareto_front.COSTS)
def test_the_contracts_region_is_on_the_scale_of_the_cost(artifacts: Any, cost: Any) -> None:
    region = pareto_front.contract_region(artifacts.table(), artifacts.verdict(), cost)
    dense = next(row for row in artifacts.table().rows if row.recipe == "dense")
    share = 0.5
    assert region.cost == pytest.approx(pareto_front.cost_of(dense, cost) * share)
    assert region.value == pytest.approx(dense.value - 0.05)
    assert len(pareto_front.points(artifacts.table(), cost)) == 3


def test_downsampling_keeps_the_ks_statistic_and_its_position() -> None:
    numbers = np.random.default_rng(2)
    truth = numbers.random(5000) < 0.3
    scores = truth * 0.1 + numbers.random(5000)
    shares = threshold_curves.separation(scores, truth)
    whole = ks_2samp(scores[truth], scores[~truth]).statistic
    assert threshold_curves.gap(shares).max() == pytest.approx(whole)
    shown = threshold_curves.downsampled(shares, always=int(threshold_curves.gap(shares).argmax()))
    assert len(shown) <= threshold_curves.MAX_POINTS
    assert threshold_curves.gap(shown).max() == pytest.approx(whole)


def test_threshold_curves_agree_with_scikit_learn() -> None:
    numbers = np.random.default_rng(0)
    truth = numbers.random(400) < 0.3
    scores = np.round(truth * 0.4 + numbers.random(400), 2)
    assert threshold_curves.area(threshold_curves.roc(scores, truth)) == pytest.approx(roc_auc_score(truth, scores), abs=2e-3)
    curve = threshold_curves.precision_recall(scores, truth)
    average = float((np.diff(np.r_[0, curve["recall"]]) * curve["precision"]).sum())
    assert average == pytest.approx(average_precision_score(truth, scores), abs=1e-2)
    assert (
        len(threshold_curves.downsampled(threshold_curves.roc(numbers.random(5000), numbers.random(5000) < 0.5)))
        <= threshold_curves.MAX_POINTS
    )


def test_threshold_curves_of_a_single_class_are_empty() -> None:
    assert threshold_curves.roc(np.array([0.1, 0.2]), np.array([True, True])).empty
    assert threshold_curves.precision_recall(np.array([0.1]), np.array([False])).empty
    assert threshold_curves.separation(np.array([]), np.array([])).empty


def test_drift_separates_equal_from_shifted_distributions() -> None:
    numbers = np.random.default_rng(0)
    before, after = pd.Series(numbers.normal(0, 1, 2000)), pd.Series(numbers.normal(0, 1, 2000))
    assert column_drift.drift("x", before, after).verdict == "stable"
    assert column_drift.drift("x", before, after + 1).verdict == "significant"
    kinds = pd.Series(list("aab") * 100), pd.Series(list("abb") * 100)
    assert column_drift.drift("k", *kinds).distance == pytest.approx(1 / 3)
    assert column_drift.drift("x", before, after).p_value > 0.01
    assert column_drift.drift("x", before, after + 1).p_value < 1e-6
    assert column_drift.drift("k", *kinds).p_value < 1e-6
    assert column_drift.drift("k", pd.Series(["a"] * 9), pd.Series(["a"] * 7)).p_value == 1
    assert column_drift.drift("p", pd.Series([b"x"]), pd.Series([b"y"])) is None
    assert column_drift.drift("e", before, pd.Series([], dtype=float)) is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5] * 10 + list(range(20)), "numbers"),
        ([1, 2, 1], "kinds"),
        (["a", "b"], "kinds"),
        ([f"text {n}" for n in range(100)], "words"),
        ([f"{n}.5" for n in range(100)], "numbers"),
        ([f"{n}" for n in range(9)], "kinds"),
        ([b"x"], None),
        ([[1], [2]], None),
        (pd.date_range("2020", periods=3), "times"),
        ([True, False], "kinds"),
        ([None, None], None),
    ],
)
def test_the_kind_of_a_column_follows_from_its_values(values: Any, kind: Any) -> None:
    assert column_drift.kind(pd.Series(values)) == kind


def test_a_histogram_takes_infinities_and_constants() -> None:
    bins = column_drift.histogram({"a": pd.Series([1.0, np.inf, np.nan, 2.0]), "b": pd.Series([1.0])}, "numbers")
    assert bins.groupby("table")["rows"].sum().to_dict() == {"a": 2, "b": 1}
    assert len(column_drift.histogram({"a": pd.Series([5.0] * 9)}, "numbers")) == column_drift.BINS


def test_the_form_knows_bounds_choices_help_and_what_params_yaml_says(root: Any) -> None:
    form = parameter_fields.form(root, "vision")
    fields = {field.name: field for field in form.fields}
    assert form.sections == ["fetch", "clean", "augment", "model", "training", "contract", "recipes"]
    epochs = fields["training.epochs"]
    assert (epochs.kind, epochs.low, epochs.high) == ("whole", 1, 10_000)
    assert "adamw" in fields["training.optimizer"].choices
    assert fields["model.architecture"].kind == "choice"
    assert "efficientnet_lite0" in fields["model.architecture"].choices
    assert fields["contract.min_speedup"].default == 2.0
    assert "CPU threads" in fields["training.threads"].help
    assert fields["model.widths"].kind == "yaml"
    assert fields["recipes.pruned.0.prune.ratio"].kind == "number"
    assert "fetch.fingerprint" not in fields


def test_only_what_differs_is_an_override(root: Any) -> None:
    form = parameter_fields.form(root, "vision")
    same = {field.name: field.default for field in form.fields}
    assert parameter_fields.changed(form, same) == {}
    assert parameter_fields.changed(form, {**same, "training.epochs": 3, "model.widths": [8, 8]}) == {
        "training.epochs": 3,
        "model.widths": [8, 8],
    }


@pytest.mark.parametrize("value", [3, 0.5, "adamw", [32, 64], True, "yes", "1e3", "a: b", "it's; rm -rf /", "", "*x", "零"])
def test_the_command_for_the_terminal_means_the_same(value: Any) -> None:
    words = parameter_fields.format_value(value)
    assert parse_overrides([f"x.y={words}"]) == {"x.y": value}
    line = parameter_fields.terminal_command(["vision"], {"x.y": value}, ["int8"])
    assert line.startswith("bonsai run vision --set ")
    assert line.endswith("--recipe int8")


def test_a_list_that_is_no_yaml_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"model\.widths"):
        parameter_fields.parse_value(Field("model.widths", "yaml", []), "[1, 2")


def test_an_unknown_parameter_in_params_yaml_is_a_user_error(root: Any, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text().replace("seed: 7", "sed: 7"))
    with pytest.raises(UserError, match="did you mean 'seed'"):
        parameter_fields.form(tmp_path, "vision")


def test_only_what_differs_between_runs_is_listed(root: Any) -> None:
    chosen = [run_records.load(root, name) for name in run_records.run_ids(root)]
    read = {run.id: run_differences.parameters(run, "vision") for run in chosen}
    assert list(run_differences.side_by_side(read, only_differing=True)["name"]) == ["training.seed"]
    assert len(run_differences.side_by_side(read, only_differing=False)) > 5
    assert "released" in run_differences.test_results(chosen[0], "vision")
    assert set(run_differences.curves(chosen, "vision")["run"]) == {run.id for run in chosen}
    assert set(run_differences.by_class(chosen, "vision", "dense")["class"]) == set(recorded_runs.CLASSES)


@pytest.mark.parametrize("content", ["", "[]", "a: &x 1\nb: *x", "{", "\x00"])
def test_parameters_of_a_run_that_cannot_be_read_are_a_sentence(root: Any, content: Any) -> None:
    run = run_records.load(root, run_records.run_ids(root)[0])
    path = run.folder / "params.yaml"
    kept = path.read_text()
    path.write_text(content)
    try:
        with pytest.raises(Unreadable):
            run_differences.parameters(run, "vision")
    finally:
        path.write_text(kept)


def test_an_exported_model_predicts_and_has_an_occlusion_map(artifacts: Any) -> None:
    model = onnx_models.load(artifacts.file("release/model.onnx"))
    assert model.classes == list(recorded_runs.CLASSES)
    picture = np.zeros((1, recorded_runs.SIDE, recorded_runs.SIDE), np.uint8)
    picture[0, 3:8, 3:8] = 200
    shares = onnx_models.softmax(model.outputs(picture[None]))
    assert shares.sum() == pytest.approx(1)
    weights = onnx_models.occlusion_map(model, picture, int(shares.argmax()))
    assert weights.shape == picture.shape[1:]
    assert image_grid.heatmap(picture[0], weights).startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x0a"])
def test_a_file_that_is_no_model_is_a_sentence(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        onnx_models.load(path)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "text", None])
def test_what_is_no_picture_is_not_shown(data: Any) -> None:
    assert image_grid.to_png(data) is None


def test_a_decompression_bomb_is_not_decoded() -> None:
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert image_grid.to_png(bomb) is None


@pytest.mark.parametrize(("size", "reason"), [((10_000, 10_000), "too-large"), (None, "unreadable")])
def test_a_picture_that_is_a_bomb_or_none_at_all_is_refused_with_a_sentence(size: Any, reason: Any) -> None:
    import io

    from PIL import Image

    file = io.BytesIO(b"no picture")
    if size:
        Image.new("1", size).save(file, "PNG")
    with pytest.raises(Unreadable) as refusal:
        model_comparison.prepare_image(file.getvalue(), 28, 1, drawn=False)
    assert refusal.value.key == "try_it.no_picture"
    assert str(refusal.value.values["reason"]).startswith(reason)


def test_a_drawn_sign_is_put_in_the_middle_as_in_mnist() -> None:
    from PIL import Image, ImageDraw

    drawing = Image.new("L", (112, 112))
    ImageDraw.Draw(drawing).rectangle((5, 5, 20, 60), fill=255)
    pixels = np.asarray(center_drawing(drawing, 28))
    rows, across = np.nonzero(pixels > 60)
    assert (rows.max() - rows.min() + 1) == pytest.approx(20, abs=1)
    assert abs(across.mean() - 13.5) < 1.5
    assert not np.asarray(center_drawing(Image.new("L", (112, 112)), 28)).any()


@pytest.mark.parametrize("line", ["0 3 * * *", "*/15 * * * *", "0,30 8-18/2 1 jan-mar MON-FRI", "5 4 * * 7", "0 0 31 12 sun"])
def test_a_valid_cron_expression_has_no_error(line: Any) -> None:
    assert cron_text.find_error(line) is None


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("60 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 0 * *", "day"),
        ("0 3 * 13 *", "month"),
        ("0 3 * * someday", "weekday"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("1, * * * *", "minute"),
    ],
)
def test_an_invalid_cron_expression_names_the_invalid_field(line: Any, part: Any) -> None:
    assert cron_text.find_error(line)[1]["field"] == part


def test_a_cron_expression_has_five_fields() -> None:
    assert cron_text.find_error("every night") == ("cron.fields", {"count": "2"})


def test_dates_are_drawn_as_dates() -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=400))
    bins = column_drift.histogram({"then": days, "now": days + pd.Timedelta(days=9)}, column_drift.kind(days))
    assert bins["from"].min() >= pd.Timestamp("2024-01-01")
    assert bins["to"].max() <= pd.Timestamp("2025-03-01")
    drawn = data_charts.histogram(bins, share="share", title="date", order=["then", "now"]).to_dict()
    assert drawn["encoding"]["x"]["type"] == "temporal"


def test_a_reason_is_looked_up_by_its_whole_code_and_by_what_came_of_the_row() -> None:
    words = "spaces; markup: <b>; seen spaces-odd; seen missing age"
    assert quality.reason_codes(words, "repaired") == ["spaces", "markup"]
    assert quality.reason_codes(words, "kept_with_remarks") == ["spaces-odd", "missing age"]
    assert quality.reason_codes("duplicate of a.csv:4, which is labelled '7'", "rejected") == ["duplicate"]


def test_what_cleaning_changed_in_a_row_stands_beside_what_it_was() -> None:
    at = {"file": ["a", "a", "b"], "row": [1, 2, 1]}
    kept = pd.DataFrame({**at, "text": ["one two", "three", "four"], "label": ["x", "y", None]}, index=[7, 8, 9])
    raw = pd.DataFrame({**at, "text": ["one  two", "three", "four"], "label": ["x", "y", None]})
    shown = quality.with_raw_values(kept, raw.iloc[::-1], "before")
    assert list(shown) == ["file", "row", "text (before)", "text", "label"]
    assert list(shown["text (before)"]) == ["one  two", "three", "four"]
    assert list(quality.with_raw_values(kept, raw.drop(columns="row"), "before")) == list(kept)


@pytest.mark.parametrize(("p", "expected"), [(0.0, "< 0.0001"), (5e-5, "< 0.0001"), (0.04, "0.0400"), (None, "–"), (np.nan, "–")])
def test_a_p_value_is_never_shown_as_zero(p: Any, expected: Any) -> None:
    assert formatting.p_value(p) == expected


def test_the_name_of_a_test_omits_its_p_value() -> None:
    assert Gain(value=1, low=0, high=2, p=0.0003, method="Diebold-Mariano p 0.000 with lags").test == "Diebold-Mariano with lags"
    assert Gain(value=1, low=0, high=2, method="bootstrap").test == "bootstrap"


def test_days_are_shown_without_an_hour_and_moments_with_theirs() -> None:
    days = pd.DataFrame(
        {"day": pd.to_datetime(["2026-11-20", None]), "at": pd.to_datetime(["2026-11-20 09:30", "2026-11-21 00:00"])}
    )
    shown = widgets.sanitized(days)
    assert str(shown["day"][0]) == "2026-11-20"
    assert pd.isna(shown["day"][1])
    assert shown["at"].equals(days["at"])
