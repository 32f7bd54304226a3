"""Reading texts: packaged sentences, users' tables, folders and data sets by name."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.core.registry import build
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.use_cases.nlp.data import docstring_sentences
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.use_case import Nlp

DATASETS = os.environ.get(DATASETS_VARIABLE, "")
needs_files = pytest.mark.skipif(not DATASETS, reason=f"{DATASETS_VARIABLE} names no folder with the data sets' files")


def test_the_packaged_sentences_are_tens_of_thousands_with_every_field_and_always_the_same() -> None:
    rows = pd.concat(list(docstring_sentences.read_sentences(1100)), ignore_index=True)
    assert set(rows["label"]) == set(docstring_sentences.FIELD_PACKAGES)
    assert rows["label"].value_counts().min() == 100
    pd.testing.assert_frame_equal(rows, pd.concat(list(docstring_sentences.read_sentences(1100)), ignore_index=True))
    assert not rows["text"].str.contains("torch|pandas|sklearn|numpy|scipy", case=False).any()


def test_a_sentence_is_plain_english_without_markup_or_names() -> None:
    docstring = """Fit the :class:`~torch.nn.Module` to ``x`` by NumPy, as people do in general.

    Parameters
    ----------
    x : array
        Whatever there is to be said about this one in the list.

    >>> print("This is code and no sentence at all, is it.")

    It keeps what :func:`pd.read_csv <pandas>` found in every file of the folder. Too short.
    """
    assert list(docstring_sentences.docstring_sentences(docstring)) == [
        "Fit the NAME to x by NAME, as people do in general.",
        "It keeps what NAME found in every file of the folder.",
    ]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    path = tmp_path / "mine.csv"
    path.write_text("id,Topic,body,title\n1,a,first text,one\n2,b,second text,\n3,a,,\n", encoding="utf-8")
    return path


def raw(path: Any, **how: Any) -> Any:
    return pd.concat(list(Nlp(fetch=TextFetch(path=str(path), **how)).load()), ignore_index=True)


def test_a_table_of_ones_own_is_read_by_the_columns_named(table: Any) -> None:
    rows = raw(table, text="title, body", label="Topic")
    assert rows["text"].to_list() == ["one . first text", "second text", ""]
    assert rows["label"].to_list() == ["a", "b", "a"]
    assert rows["row"].to_list() == [2, 3, 4]


def test_usual_columns_need_no_name(table: Any) -> None:
    assert raw(table)["text"].to_list() == ["first text", "second text", ""]


def test_a_column_that_is_not_there_is_refused_with_the_nearest(table: Any) -> None:
    with pytest.raises(UserError, match="did you mean 'body'"):
        raw(table, text="bodi")


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "csv.xz"])
def test_other_kinds_of_tables_give_the_same_rows(tmp_path: Path, kind: Any) -> None:
    path, frame = tmp_path / f"mine.{kind}", pd.DataFrame({"text": ["a b", 'say "c"'], "label": ["x", "y"]})
    if kind == "tsv":
        frame.to_csv(path, sep="\t", index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    assert raw(path)[["text", "label"]].to_numpy().tolist() == frame.to_numpy().tolist()


def test_a_table_without_header_is_read_by_the_names_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('3,"Oil rose","a ""lot"""\n', encoding="utf-8")
    rows = raw(path, columns="label,title,rest", text="title,rest")
    assert rows[["text", "label"]].to_numpy().tolist() == [['Oil rose . a "lot"', "3"]]


def test_files_of_a_folder_may_be_named_for_their_split(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\nsome text,a\n", encoding="utf-8")
    rows = raw(tmp_path)
    assert dict(zip(rows["file"], rows["subset"], strict=True)) == {"test.csv": "test", "train.csv": "train"}


def test_a_folder_of_text_files_per_class_is_read_with_its_own_splits(tmp_path: Path) -> None:
    for place in ("train/pos/1", "train/neg/1", "train/unsup/1", "test/pos/1", "test/neg/1"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{place}.txt").write_text(f"A film of {place}.\n", encoding="utf-8")
    (tmp_path / "README.txt").write_text("about", encoding="utf-8")
    rows = raw(tmp_path)
    assert rows.loc[rows["file"] == "test/neg/1.txt", ["text", "label", "subset"]].to_numpy().tolist() == [
        ["A film of test/neg/1.", "neg", "test"]
    ]
    assert sorted(rows["subset"] + rows["label"]) == ["testneg", "testpos", "trainneg", "trainpos"]


def test_a_text_file_per_class_holds_a_text_on_each_line(tmp_path: Path) -> None:
    for name, content in (("pos.txt", "\ufeffgood, very good\n\nfine\n"), ("neg.txt", "bad\nworse; really")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    case = Nlp(fetch=TextFetch(path=str(tmp_path)))
    case.check_head()
    rows = pd.concat(list(case.load()), ignore_index=True)
    assert rows[["text", "label", "row", "doubt"]].to_numpy().tolist() == [
        ["bad", "neg", 1, ""],
        ["worse; really", "neg", 2, ""],
        ["good, very good", "pos", 1, ""],
        ["fine", "pos", 3, ""],
    ]


def test_text_files_per_class_and_split_tell_both_by_their_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("pos", "neg"):
            (tmp_path / f"{split}_{name}.txt").write_text(f"{name} {split}\n")
    rows = pd.concat(list(Nlp(fetch=TextFetch(path=str(tmp_path))).load()), ignore_index=True)
    assert sorted(map(tuple, rows[["label", "subset", "text"]].to_numpy().tolist())) == [
        ("neg", "test", "neg test"), ("neg", "train", "neg train"), ("pos", "test", "pos test"), ("pos", "train", "pos train"),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("train.txt", "test.txt"), ("only.txt",)])
def test_text_files_without_classes_in_their_names_are_tables(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("text,label\na,b\nc,d\n")
    rows = pd.concat(list(Nlp(fetch=TextFetch(path=str(tmp_path))).load()), ignore_index=True)
    assert rows["label"].tolist() == ["b", "d"] * len(names)


def test_a_column_may_hold_the_split(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("text,label,split\none,a,train\ntwo,b,dev\nthree,a,Test\n", encoding="utf-8")
    assert raw(tmp_path / "all.csv")["subset"].to_list() == ["train", "validation", "test"]


def test_train_and_test_rows_may_be_named_apart(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name} text,a\n", encoding="utf-8")
    fetch = TextFetch(train=str(tmp_path / "old.csv"), test=str(tmp_path / "new.csv"))
    rows = pd.concat(list(Nlp(fetch=fetch).load()), ignore_index=True)
    assert dict(zip(rows["text"], rows["subset"], strict=True)) == {"old text": "train", "new text": "test"}


def test_a_wrong_table_is_refused_by_its_head(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("id,topic\n" + "1,a\n" * 5, encoding="utf-8")
    with pytest.raises(UserError, match=r"wrong\.csv has no column text or sentence .*name one in fetch\.text"):
        Nlp(fetch=TextFetch(path=str(tmp_path / "wrong.csv"))).check_head()
    (tmp_path / "bare.tsv").write_text("a sentence that is much longer than a name would be\t0\nand another one\t1\n")
    with pytest.raises(UserError, match=r"does it begin with its rows\? Then name all columns, as in fetch.columns=text,label"):
        Nlp(fetch=TextFetch(path=str(tmp_path / "bare.tsv"))).check_head()
    (tmp_path / "a.conll").write_text("London\n")
    with pytest.raises(UserError, match="expected 2: a word, perhaps more, and its tag"):
        Nlp(fetch=TextFetch(path=str(tmp_path / "a.conll"))).check_head()


def test_a_column_may_have_a_comma_in_its_name_and_a_tab_is_written_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("body, raw\ttopic \nfirst, text\tb\n", encoding="utf-8")
    fetch = TextFetch(path=str(tmp_path / "a.txt"), text="body, raw", label="topic", separator="\\t")
    (rows,) = Nlp(fetch=fetch).load()
    assert rows[["text", "label"]].to_numpy().tolist() == [["first, text", "b"]]


def test_a_limit_takes_rows_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f"text {n},{n // 50}\n" for n in range(100)), encoding="utf-8")
    assert raw(path, limit=10)["label"].value_counts().to_dict() == {"0": 5, "1": 5}


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'ag_news'"):
        build("use_cases", "nlp", {"fetch": {"dataset": "agnews"}})


def test_a_data_set_without_its_files_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"name that folder in {DATASETS_VARIABLE}"):
        list(Nlp(fetch=TextFetch(dataset="sms_spam")).load())


@needs_files
@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [
        ("movie_reviews", 10_662, {"negative": 5331, "positive": 5331}),
        ("sms_spam", 5574, {"ham": 4827, "spam": 747}),
        ("noisy_10k", 10_000, None),
        ("ag_news", 39_600, None),
    ],
)
def test_data_sets_with_a_name_are_read_whole(name: Any, rows: Any, labels: Any) -> None:
    loaded = pd.concat(list(Nlp(fetch=TextFetch(dataset=name)).load()), ignore_index=True)
    assert len(loaded) == rows
    assert set(loaded["label"]) == set(Nlp(fetch=TextFetch(dataset=name)).fetch.classes)
    assert labels is None or loaded["label"].value_counts().to_dict() == labels
    if name == "noisy_10k":
        assert (loaded["label"] != loaded["truth"]).mean() == pytest.approx(0.1975)
