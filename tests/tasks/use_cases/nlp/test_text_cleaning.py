"""The known errors of public texts are found and counted; unreadable files of one's own are refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.cleaning.deduplication import KEPT, deduplicate_and_split
from tasks.cleaning.partitions import clean_partition_file
from tasks.cleaning.quality_report import build_quality_report, check_classes
from tasks.core.errors import UserError
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextClean
from tasks.use_cases.nlp.topics.label_errors import find_label_errors
from tasks.use_cases.nlp.use_case import Nlp

ROOT = Path(__file__).parents[4]
NEAR = ROOT.parent / "shared" / "datasets"
DATASETS = os.environ.get(DATASETS_VARIABLE) or (str(NEAR) if NEAR.is_dir() else "")
needs_files = pytest.mark.skipif(not DATASETS, reason=f"{DATASETS_VARIABLE} names no folder with the data sets' files")


def quality_report(case: Any, folder: Any) -> Any:
    """The data quality report of all raw rows and the outcome of each, as the stage clean makes them."""
    raw = pd.concat(list(case.load()), ignore_index=True)
    raw.to_parquet(folder / "raw.parquet")
    clean_partition_file(case, folder / "raw.parquet", 0, folder)
    outcome = deduplicate_and_split(case, pd.read_parquet(folder / "light-00000.parquet"))
    return build_quality_report(case, outcome), outcome


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATASETS_VARIABLE, DATASETS)


@needs_files
@pytest.mark.slow
def test_the_known_errors_of_ag_news_are_found_and_counted(datasets: Any, tmp_path: Path) -> None:
    report, outcome = quality_report(Nlp(fetch=TextFetch(dataset="ag_news")), tmp_path)
    assert report["rows_in"] == 39_600 == report["kept"] + report["quarantined"] + report["duplicates"]
    assert report["leaks"] == {"test": 6}, "six train rows, five texts, stand in the test file"
    assert outcome["split"].eq("test").sum() == 7600
    assert report["duplicates"] == 1981, "the two train files overlap by 1,973 texts and hold 8 repeats"
    assert report["fixes"]["backslashes"] > 4000
    assert report["fixes"]["entities"] > 12_000
    assert report["fixes"]["markup"] > 1500
    assert set(report["classes"]) == {"World", "Sports", "Business", "Sci/Tech"}
    files = [name for name in report["files"] if "train" in name]
    assert len(files) == 2
    kept = outcome[outcome["verdict"] == KEPT]
    assert kept[kept["file"].isin(files)]["label"].value_counts().min() > 7000, "both label bases are read"


@needs_files
@pytest.mark.parametrize(
    ("name", "rows", "duplicates", "reasons"),
    [
        ("sms_spam", 5574, 414, {"duplicate": 414, "too-short": 3}),
        ("movie_reviews", 10_662, 0, {}),
        ("noisy_10k", 10_000, 3, {"duplicate": 3}),
    ],
)
def test_other_public_texts_are_accounted_for(
    datasets: Any, tmp_path: Path, name: Any, rows: Any, duplicates: Any, reasons: Any
) -> None:
    report, _ = quality_report(Nlp(fetch=TextFetch(dataset=name)), tmp_path)
    assert report["rows_in"] == rows == report["kept"] + report["quarantined"] + report["duplicates"]
    assert report["duplicates"] == duplicates
    assert report["reasons"] == reasons


@needs_files
@pytest.mark.slow
def test_labels_of_noisy_10k_that_are_suspected_are_mostly_wrong(datasets: Any) -> None:
    """One label in five is wrong there. A linear machine suspects labels of rows it has not seen; `truth` says how well."""
    from tasks.metrics import classification
    from tasks.use_cases.nlp.topics import text_baselines

    rows = pd.concat(list(Nlp(fetch=TextFetch(dataset="noisy_10k")).load()), ignore_index=True)
    classes, even = sorted(set(rows["label"])), rows.index % 2 == 0
    train, test = rows[even], rows[~even].reset_index(drop=True)
    model = text_baselines.fit_linear_models(train["text"].to_list(), train["label"].to_list())["tf-idf + linear"]
    guesses = classification.softmax(model.scores(test["text"].to_list(), classes))
    label_errors = find_label_errors(classification.predictions_table(test, guesses, classes, ("label", "truth", "text")))
    assert label_errors["wrong"] == pytest.approx(987, abs=40)
    assert label_errors["precision"] > 0.6, "three times the share of wrong labels among all"
    assert label_errors["recall"] > 0.15


def rows_of(path: Any, **how: Any) -> Any:
    return pd.concat(list(Nlp(fetch=TextFetch(path=str(path), **how)).load()), ignore_index=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty.csv is empty"),
        ("head.csv", b"text,label\n", "head.csv has a header"),
        ("latin.csv", b"text,label\nvoil\xe0 words,a\n", "latin.csv, line 2: byte"),
        ("ragged.csv", b"text,label\nsome words,a\nsome, words,a\n", "ragged.csv, line 3 has 3 fields, expected 2"),
        ("quote.csv", b'text,label\n"never closed,a\n', "quote.csv, line 2: a quotation mark is never closed"),
        ("missing.csv", b"txt,label\nsome words,a\n", "missing.csv has no column text"),
        ("nameless.csv", b"text,words\nsome words,a\n", "has no column label"),
        ("cut.jsonl", b'{"text": "some words", "label": "a"}\n{"text": "so', "cut.jsonl, line 2"),
        ("list.jsonl", b'["some words", "a"]\n', "list.jsonl, line 1: expected one object per line"),
        ("no.parquet", b"PAR1 and no more", "no.parquet is no whole parquet file"),
        ("sheet.xlsx", b"PK\x03\x04", "save the sheet as CSV"),
        ("zero.csv", b"text,label\nsome\x00words,a\n", "zero.csv, line 2"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path: Path, name: Any, content: Any, message: Any) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        rows_of(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\nsome words,a\n")
    assert rows_of(path)["text"].to_list() == ["some words"]


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("text,label\n" + "".join(f"some words {number},a\n" for number in range(50)))
    case = Nlp(fetch=TextFetch(path=str(path)))
    _, outcome = quality_report(case, tmp_path)
    with pytest.raises(UserError, match="all 50 clean rows have the label 'a'"):
        check_classes(case, outcome)


def test_bad_cells_are_quarantined_with_their_reason_and_place(tmp_path: Path) -> None:
    cells = {
        "huge": "word " * 210_000,
        "number": 3.5,
        "none": None,
        "nested": {"a": 1},
        "lost": "lost \ufffd sign",
        "good": "some good words",
    }
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for label, text in cells.items()))
    _, outcome = quality_report(Nlp(fetch=TextFetch(path=str(path)), clean=TextClean(rare_classes="refuse")), tmp_path)
    reasons = dict(zip(outcome["label"], outcome["reason"].str.partition(":")[0], strict=True))
    assert reasons == {
        "huge": "too-long",
        "number": "too-short",
        "none": "empty",
        "nested": "nested",
        "lost": "wrong-encoding",
        "good": "",
    }
    assert outcome["row"].to_list() == [1, 2, 3, 4, 5, 6]


def test_a_row_cut_in_the_middle_at_the_end_of_a_file_is_quarantined(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text("text,label\nsome words,a\nother words,b")
    _, outcome = quality_report(Nlp(fetch=TextFetch(path=str(path)), clean=TextClean(rare_classes="refuse")), tmp_path)
    assert outcome["reason"].str.partition(":")[0].to_list() == ["", "cut-short"]


@pytest.mark.slow
def test_a_table_of_ones_own_runs_to_a_verdict_with_no_code(tmp_path: Path) -> None:
    """The stages over a CSV of one's own, columns named in params alone."""
    rows = [(f"The {pet} number {n} {deed} in the {place}", pet) for n in range(150) for pet, deed, place in PETS]
    pd.DataFrame(rows, columns=["body", "topic"]).to_csv(tmp_path / "my.csv", index=False)
    fetch = {"path": "my.csv", "text": "body", "label": "topic"}
    params = {"use_cases": {"nlp": {"fetch": fetch, "contract": {"min_speedup": 0.01, "max_size_share": 1.0}}}}
    recipes: dict[str, Any] = {"dense": [], "int8": [{"quantize": {}}]}
    (tmp_path / "params.yaml").write_text(json.dumps({**params, "recipes": recipes}))
    order = [[stage] for stage in ("fetch", "clean", "augment", "train", "baselines")]
    order += [[stage, recipe] for recipe in recipes for stage in ("compress", "evaluate")] + [["latency"], ["release"]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for stage, *recipe in order:
        command = [sys.executable, "-m", "tasks", stage, "nlp", *recipe]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    verdict = json.loads((tmp_path / "data/nlp/release/verdict.json").read_text())
    assert verdict["verdict"] in ("released", "inconclusive")
    assert verdict["reason"].startswith(verdict["verdict"])
    predictions = pd.read_parquet(tmp_path / "data/nlp/evaluations/dense/predictions/part-00001.parquet")
    first = predictions[predictions["attributions"].map(len) > 0].iloc[0]
    part = max(first["attributions"], key=lambda part: part["weight"])
    assert first["text"][part["start"] : part["end"]].strip()
    assert json.loads((tmp_path / "data/nlp/evaluations/dense/metrics.json").read_text())["splits"]["test"]["rows"] > 20


PETS = (("cat", "purrs", "house"), ("dog", "barks", "yard"))
