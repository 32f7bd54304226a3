"""Rows without a label go through fetch and clean, are counted, and are in no split."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Table, read_split
from tasks.data import sources
from tasks.stages import augment, compress
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextClean
from tasks.use_cases.nlp.use_case import Nlp
from tests.support.labelled_amounts import fetch_and_clean
from tests.support.text_rows import animals


@pytest.fixture
def nlp(tmp_path: Path) -> Nlp:
    """Labelled texts, and unlabelled ones: new, empty, equal to a labelled one, and almost equal to one."""
    labelled = animals(60)
    labelled[["text", "label"]].to_csv(tmp_path / "animals.csv", index=False)
    texts = [f"a horse runs over field {number}" for number in range(20)]
    same, alike = labelled["text"][3], labelled["text"][4].upper() + "!"
    (tmp_path / "more.txt").write_text("\n".join([*texts, "# #", same, alike, "42"]) + "\n")
    fetch = TextFetch(path=str(tmp_path / "animals.csv"), unlabelled=str(tmp_path / "more.txt"), partition_rows=25)
    return Nlp(fetch=fetch, clean=TextClean(max_reject_share=0.01))


def test_rows_without_a_label_are_counted_and_are_in_no_split(make_context: Any, nlp: Nlp) -> None:
    context = make_context(nlp)
    report, rows, quarantine = fetch_and_clean(context)
    assert report["unlabelled"] == {"rows_in": 24, "kept": 20, "quarantined": 2, "duplicates": 2}
    assert report["rows_in"] == 84 == report["kept"] + report["quarantined"] + report["duplicates"]
    assert report["splits"]["unlabelled"] == 20
    assert report["contradictions"] == 0
    assert report["leaks"] == {}
    assert set(report["classes"]) == {"cat", "dog"}
    assert list(rows.columns) == ["file", "row", *nlp.Schema.to_schema().columns, "fix", "split"]
    assert set(rows.loc[rows["split"] == "unlabelled", "label"]) == {"unlabelled"}
    assert set(rows.loc[rows["split"] != "unlabelled", "label"]) == {"cat", "dog"}
    reasons = quarantine[quarantine["file"] == "more.txt"].set_index("row")["reason"].to_dict()
    assert reasons[22] == "duplicate of animals.csv:5"
    assert reasons[23] == "duplicate of animals.csv:6, which looks alike"
    assert reasons[21].startswith("too-short:")
    assert context.raw.json("report.json")["unlabelled"] == 24


def test_labelled_rows_have_the_splits_that_they_have_without_the_others(make_context: Any, nlp: Nlp) -> None:
    _, alone, _ = fetch_and_clean(make_context(Nlp(fetch=TextFetch(path=nlp.fetch.path, partition_rows=25)), "alone"))
    _, together, _ = fetch_and_clean(make_context(nlp, "together"))
    labelled = together[together["split"] != "unlabelled"]
    assert dict(zip(alone["text"], alone["split"], strict=True)) == dict(zip(labelled["text"], labelled["split"], strict=True))


def test_no_variant_is_made_of_a_row_without_a_label(make_context: Any, nlp: Nlp) -> None:
    context = make_context(nlp)
    fetch_and_clean(context)
    augment.main(context)
    variants = Table(context.augmented.open() / "rows").read()
    assert not variants["text"].str.contains("horse").any()
    assert len(read_split(Table(context.clean.open() / "rows"), "unlabelled")) == 20


def test_other_unlabelled_texts_than_those_of_the_request_are_refused(nlp: Nlp, tmp_path: Path) -> None:
    fingerprint = "+".join(sources.fingerprint(path) for path in (nlp.fetch.path, nlp.fetch.unlabelled))
    fetch = TextFetch(path=nlp.fetch.path, unlabelled=nlp.fetch.unlabelled, fingerprint=fingerprint)
    assert sum(map(len, Nlp(fetch=fetch).load_teaching_rows())) == 24
    (tmp_path / "more.txt").write_text("another text\n")
    with pytest.raises(UserError, match=r"more\.txt changed since this run was requested"):
        list(Nlp(fetch=fetch).load_teaching_rows())


def test_unlabelled_texts_are_read_from_tables_whatever_their_column_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.csv").write_text("title,body,score\none,first text,3\ntwo,second text,4\n")
    (folder / "b.tsv").write_text("sentence\nthird text\n")
    (folder / "notes.md").write_text("not read\n")
    rows = list(Nlp(fetch=TextFetch(path="x.csv", unlabelled=str(folder))).load_teaching_rows())
    assert [list(table["text"]) for table in rows] == [["first text", "second text"], ["third text"]]
    assert [list(table["file"]) for table in rows] == [["a.csv", "a.csv"], ["b.tsv"]]
    named = Nlp(fetch=TextFetch(path="x.csv", text="title, body", unlabelled=str(folder / "a.csv")))
    assert list(next(named.load_teaching_rows())["text"]) == ["one . first text", "two . second text"]


def test_a_table_whose_texts_cannot_be_found_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("first,second\n1,2\n")
    with pytest.raises(UserError, match=r"a\.csv has no column text, sentence.*; it has first, second"):
        list(Nlp(fetch=TextFetch(path="x.csv", unlabelled=str(tmp_path / "a.csv"))).load_teaching_rows())


def test_unlabelled_texts_are_refused_for_the_task_words(nlp: Nlp) -> None:
    case = Nlp(fetch=nlp.fetch, model={"task": "words"})
    with pytest.raises(UserError, match=r"fetch\.unlabelled is for topics of texts"):
        list(case.load_teaching_rows())


def test_compression_reads_rows_without_a_label_apart_from_the_others(make_context: Any, nlp: Nlp) -> None:
    context = make_context(nlp)
    _, rows, _ = fetch_and_clean(context)
    augment.main(context)
    state = nlp.fit_preprocessing(rows[rows["split"] == "train"])
    compression_context = compress.build_context(context, state)
    train, *variants = compression_context.read_train()
    assert set(train["split"]) == {"train"}
    assert len(train) + sum(map(len, variants)) == len(compression_context.inputs)
    (validation,) = compression_context.read_validation()
    assert len(validation) == len(compression_context.validation_inputs)
    (unlabelled,) = compression_context.read_unlabelled()
    assert len(unlabelled) == 20
    assert not set(unlabelled["text"]) & set(rows.loc[rows["split"] != "unlabelled", "text"])
