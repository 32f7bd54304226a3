"""Tables of applicants: a bad file is refused in one line, an odd cell is set apart with a reason, and nobody is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import clean_partition_file, kept_rows
from tasks.cleaning.quality_report import build_quality_report, check_classes, check_reject_share
from tasks.compression import onnx_export
from tasks.compression.steps.prune import select_channels
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.metrics import binary_classification
from tasks.training import trainer
from tasks.use_cases.credit import datasets
from tests.support import credit_table, exported_baselines

DATASETS = Path(os.environ.get("BONSAI_DATASETS") or Path(__file__).parents[5] / "shared" / "datasets")
at_hand = pytest.mark.skipif(not (DATASETS / "credit").is_dir(), reason="BONSAI_DATASETS names no folder with credit/")


def credit(path: Path | None = None, **sections: Any) -> Any:
    sections["fetch"] = {**({"path": str(path)} if path else {}), **sections.get("fetch", {})}
    return registry.build("use_cases", "credit", sections)


def cleaned(case: Any, folder: Any) -> Any:
    """Raw rows to clean ones and the report, as the stages make them."""
    raw = pd.concat(list(case.load()), ignore_index=True)
    raw.to_parquet(folder / "raw.parquet")
    clean_partition_file(case, folder / "raw.parquet", 0, folder)
    cleaned_rows, light = (pd.read_parquet(folder / f"{kind}-00000.parquet") for kind in ("cleaned", "light"))
    outcome = deduplicate_and_split(case, light)
    check_reject_share(case.clean, outcome, folder)
    check_classes(case, outcome)
    return kept_rows(cleaned_rows, outcome).reset_index(drop=True), build_quality_report(case, outcome)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The lenders' file, cleaned, and the preprocessing state fitted on its train rows."""
    folder = tmp_path_factory.mktemp("grown")
    case = credit(credit_table.write(folder / "lenders.csv"))
    rows, _ = cleaned(case, folder)
    return case, rows, case.fit_preprocessing(rows[rows["split"] == "train"].reset_index(drop=True))


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


HEAD = "income,late,default\n"
GOOD = "".join(f"{1000 + 7 * n},{n % 5},{'yes' if n % 4 == 0 else 'no'}\n" for n in range(60))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"bad\.csv is empty \(0 bytes\)"),
        (HEAD, r"bad\.csv has a header \(income, late, default\) but no rows"),
        ((HEAD + GOOD).replace("no", "nö").encode("latin-1"), r"bad\.csv, line 3: byte .* is not UTF-8"),
        (HEAD + GOOD + "1000,3\n", r"bad\.csv, line 62 has 2 fields, expected 3"),
        (HEAD + GOOD + "1000,3,no,4\n", r"bad\.csv, line 62 has 4 fields, expected 3"),
        ("income,late,default,income\n" + GOOD, r"bad\.csv: two columns of the header are named 'income'"),
        (
            (HEAD + GOOD).replace("default", "paid"),
            r"bad\.csv: which column is the label\? Name it in fetch\.label; there is income",
        ),
        (
            HEAD + GOOD.replace("1", "one "),
            r"bad\.csv: column 'late' mixes numbers and text: 48 of 60 .* name it in fetch\.numbers",
        ),
    ],
)
def test_a_file_that_is_no_credit_table_is_refused_in_one_line(tmp_path: Path, content: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        list(credit(text(tmp_path / "bad.csv", content)).load())
    assert "\n" not in str(refusal.value)


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no column 'defalt'; did you mean 'default'"):
        list(credit(text(tmp_path / "own.csv", HEAD + GOOD), fetch={"label": "defalt"}).load())


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    raw = pd.concat(credit(text(tmp_path / "own.csv", "\ufeff" + HEAD + GOOD)).load())
    assert json.loads(raw["kinds"].iloc[0]) == {"income": "number", "late": "number"}


def test_cells_that_cannot_be_read_are_set_apart_with_row_column_and_reason(tmp_path: Path) -> None:
    odd = "12abc,1,no\ninf,2,yes\n5000,3,\n,4,no"
    case = credit(text(tmp_path / "own.csv", HEAD + GOOD + odd), clean={"max_reject_share": 0.1})
    rows, report = cleaned(case, tmp_path)
    assert report["rows_in"] == 64
    assert report["rows_in"] == report["kept"] + report["quarantined"] + report["duplicates"]
    assert report["reasons"] == {"cut-short": 1, "empty-label": 1, "infinite": 1, "not-a-number": 1}
    assert report["remarks"] == {}, "the row with a missing income is the one that may be cut short"
    assert not rows["income"].isna().any()


def test_a_number_cut_in_the_middle_at_the_end_of_a_file_is_not_used(tmp_path: Path) -> None:
    rows, report = cleaned(credit(text(tmp_path / "own.csv", HEAD + GOOD + "5000,3,ye")), tmp_path)
    assert report["reasons"] == {"cut-short": 1}
    assert set(rows["label"]) == {"yes", "no"}


def test_too_many_invalid_rows_name_the_first_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not-a-number, the first is own\.csv:62 \(not-a-number: income '12abc'\)"):
        cleaned(credit(text(tmp_path / "own.csv", HEAD + GOOD + "12abc,1,no\n" * 3), clean={"max_reject_share": 0.01}), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace("yes", "no"), "all 60 clean rows have the label 'no'; a classifier needs two"),
    ],
)
def test_a_label_with_one_class_or_a_class_of_one_row_is_refused(tmp_path: Path, content: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message):
        cleaned(credit(text(tmp_path / "own.csv", HEAD + content)), tmp_path)


def test_equal_rows_are_kept_unless_they_are_to_be_dropped(tmp_path: Path) -> None:
    own = text(tmp_path / "own.csv", HEAD + GOOD + GOOD)
    assert cleaned(credit(own, clean={"repeats": "drop"}), tmp_path)[1]["duplicates"] == 60
    rows, report = cleaned(credit(own), tmp_path)
    assert report["duplicates"] == 0
    assert rows.groupby("alike")["split"].nunique().max() == 1, "equal applicants in two splits would leak"


def test_every_split_has_the_same_share_of_each_label(grown: Any) -> None:
    _, rows, _ = grown
    share = rows.assign(bad=rows["label"] == "yes").groupby("split")["bad"].mean()
    assert share.max() - share.min() < 0.02


def test_the_rarer_label_is_feared_unless_another_is_named(grown: Any) -> None:
    case, rows, state = grown
    rare = rows["label"].value_counts().index[-1]
    assert state["classes"][1] == rare
    other = state["classes"][0]
    assert credit(Path("x.csv"), model={"event": other}).fit_preprocessing(rows)["classes"] == [rare, other]
    with pytest.raises(UserError, match=r"model\.event: no label 'yess'; did you mean 'yes'"):
        credit(Path("x.csv"), model={"event": "yess"}).fit_preprocessing(rows)
    assert case.encode(rows, state)[1].mean() == pytest.approx((rows["label"] == rare).mean())


def test_a_blind_network_does_not_see_the_groups_that_fairness_is_reported_for(grown: Any) -> None:
    case, rows, state = grown
    blind = credit(Path("x.csv"), model={"blind": True}).fit_preprocessing(rows)
    assert set(state["numbers"]) - set(blind["numbers"]) == {"age"}
    assert set(state["categories"]) - set(blind["categories"]) == {"sex"}
    details = case.problem.report(
        case.problem.decode(rows, trainer.predict(case.build_model(state), case.encode(rows, state)[0]), state)
    )
    assert {name: {row["group"] for row in table["groups"]} for name, table in details["fairness"].items()} == {
        "age": {"under 25", "25-34", "35-44", "45-59", "60 and over"},
        "sex": {"f", "m"},
    }


@pytest.mark.parametrize("architecture", ["tabular_mlp", "ft_transformer"])
def test_a_network_for_tables_is_pruned_and_distilled(grown: Any, architecture: Any) -> None:
    _, rows, state = grown
    case = credit(Path("x.csv"), model={"architecture": architecture})
    network = case.build_model(state).eval()
    inputs, _ = case.encode(rows, state)
    assert np.isnan(inputs).any(), "missing numbers reach the network as they are"
    keep = {name: torch.arange(group.size // 2) for name, group in network.groups().items()}
    narrow = select_channels(network, keep)
    assert torch.isfinite(narrow(torch.from_numpy(inputs))).all()
    small = case.build_student(state, 0.5).eval()
    assert sum(weight.numel() for weight in small.parameters()) < 0.5 * sum(weight.numel() for weight in network.parameters())
    assert torch.equal(small.curves.start, network.curves.start), "a student reads numbers by the same curves"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["tabular_mlp", "ft_transformer"])
def test_the_shipped_file_answers_as_the_network_does_for_missing_numbers_too(grown: Any, architecture: Any) -> None:
    _, rows, state = grown
    network = credit(Path("x.csv"), model={"architecture": architecture}).build_model(state).eval()
    inputs, _ = credit(Path("x.csv")).encode(rows, state)
    assert onnx_export.parity(network, onnx_export.to_onnx(network, inputs, state, "credit"), inputs, 1e-4)["rows"] == len(rows)


def test_a_number_passes_its_curve_and_a_missing_one_is_in_the_middle() -> None:
    network = registry.build_network("credit", "tabular_mlp", {"numbers": 1, "knots": 3})
    network.curves.set([[0.0, 10.0, 30.0]], [[-2.0, 0.0, 1.0]])
    scores, missing = network.curves(torch.tensor([[-5.0], [0.0], [5.0], [20.0], [99.0], [float("nan")]]))
    assert scores[:, 0].tolist() == [-2.0, -2.0, -1.0, 0.5, 1.0, 0.0]
    assert missing[:, 0].tolist() == [0, 0, 0, 0, 0, 1]


def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn_from_it(grown: Any) -> None:
    case, _, _ = grown
    teacher, targets = torch.tensor([[1.0], [-2.0]]), torch.tensor([0.0, 1.0])
    assert case.problem.distillation_loss(teacher.expand(2, 3), teacher, targets, 3.0).item() == pytest.approx(0, abs=1e-6)
    assert case.problem.distillation_loss(-teacher.expand(2, 3), teacher, targets, 3.0).item() > 0.1


@pytest.mark.slow
def test_network_and_baselines_predict_defaults(grown: Any) -> None:
    case, rows, state = grown
    train, test = (rows[part].reset_index(drop=True) for part in (rows["split"] == "train", rows["split"] != "train"))
    inputs, targets = case.encode(train, state)
    torch.manual_seed(0)
    training = registry.build("use_cases", "credit", {"training": {"epochs": 40, "batch_size": 32, "precision": "fp32"}}).training
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda net, x, y: case.problem.loss(net(x), y, case.training),
        training=training,
    )
    decoded = case.problem.decode(test, trainer.predict(fitted.network, case.encode(test, state)[0]), state)
    baselines = {
        name: binary_classification.auc(predictions["target"], predictions["probability"])
        for name, predictions in {
            **case.baselines(train, test),
            **exported_baselines.predictions(case, train, test),
        }.items()
    }
    assert case.problem.metrics(decoded)["auc"] > 0.7
    assert baselines["base rate"] == 0.5
    assert min(baselines["logistic regression"], baselines["gradient boosting"]) > 0.7


def test_without_the_file_a_data_set_by_name_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'german'"):
        credit(fetch={"dataset": "germany"})
    monkeypatch.setenv("BONSAI_DATASETS", str(tmp_path))
    nowhere = datasets.CreditDataset(copies=(("credit/nowhere.csv", "0" * 64, ()),), label="default", event="1", groups=())
    monkeypatch.setitem(datasets.DATASETS, "taiwan", nowhere)
    with pytest.raises(UserError, match=r"no mirror holds it.*name that folder in BONSAI_DATASETS"):
        list(credit().load())


@at_hand
@pytest.mark.slow
def test_the_known_errors_of_the_taiwan_data_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_DATASETS", str(DATASETS))
    rows, report = cleaned(credit(fetch={"dataset": "taiwan"}), tmp_path)
    assert (report["rows_in"], report["kept"], report["quarantined"], report["duplicates"]) == (30_000, 30_000, 0, 0)
    assert report["fixes"] == {"undocumented EDUCATION": 345, "undocumented MARRIAGE": 54}
    assert report["fixed"] == 399
    assert report["remarks"]["bill above the limit"] == 2115
    assert [report["remarks"][f"negative BILL_AMT{month}"] for month in range(1, 7)] == [590, 669, 655, 675, 655, 688]
    assert set(rows["EDUCATION"]) == {1, 2, 3, 4}
    assert "ID" not in rows


@at_hand
def test_german_credit_is_read_without_a_header_and_its_sexes_out_of_their_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONSAI_DATASETS", str(DATASETS))
    case = credit(fetch={"dataset": "german"})
    rows, report = cleaned(case, tmp_path)
    assert (report["rows_in"], report["kept"]) == (1000, 1000)
    assert case.fit_preprocessing(rows)["classes"] == ["1", "2"]
    assert set(rows["groups"].str.extract("personal_status=([^;]*)")[0]) == {"female", "male"}
