"""Sentences with tags are found in tables of words, in JSON with lists and in columns of any file name, with their values."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp

SENTENCES = [
    (["Anna", "lives", "in", "New", "York"], ["B-PER", "O", "O", "B-LOC", "I-LOC"]),
    (["#", "1", "hit", "in", "Bonn"], ["O", "O", "O", "O", "B-LOC"]),
    (["Nobody", "came"], ["O", "O"]),
]
EXPECTED = [(" ".join(words), " ".join(tags)) for words, tags in SENTENCES]


def columns(form: str = "{word} {tag}", before: str = "") -> str:
    text = ""
    for words, tags in SENTENCES:
        pairs = enumerate(zip(words, tags, strict=True), start=1)
        text += before + "".join(form.format(number=number, word=word, tag=tag) + "\n" for number, (word, tag) in pairs) + "\n"
    return text


def word_table(*, repeated: bool) -> str:
    lines = ["Sentence #,Word,POS,Tag"]
    for place, sentence in enumerate(SENTENCES, start=1):
        for number, (word, tag) in enumerate(zip(*sentence, strict=True)):
            lines.append(f"{f'Sentence: {place}' if repeated or not number else ''},{word},NN,{tag}")
    return "\n".join(lines) + "\n"


def lists() -> str:
    return "".join(json.dumps({"id": 1, "tokens": words, "ner_tags": tags}) + "\n" for words, tags in SENTENCES)


def read(path: Path) -> tuple[list[tuple[str, str]], Nlp]:
    """The texts and tags of a source, with the settings that a run chooses for it."""
    suggestion = Nlp(fetch=TextFetch(path=str(path))).suggested_settings()
    form = suggestion.settings.get("fetch.form", "auto")
    case = Nlp(fetch=TextFetch(path=str(path), form=form))
    case.check_head()
    rows = pd.concat(list(case.load()), ignore_index=True)
    return list(zip(rows["text"], rows["tags"], strict=True)), case


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.txt", columns()),
        ("train.txt", "-DOCSTART- -X- O O\n\n" + columns("{word} NN B-NP {tag}")),
        ("eng.train", columns("{word}\t{tag}")),
        ("words.tsv", columns("{word}\t{tag}")),
        ("my.conll", columns("{word} {tag}", before="# id 4 of 7\n")),
        ("my.conll", columns("{number}\t{word}\t_\t{tag}", before="# text = one\n")),
        ("ner.csv", word_table(repeated=False)),
        ("ner.csv", word_table(repeated=True)),
        ("ner.jsonl", lists()),
        ("ner.json", "[" + lists().replace("\n", ",")[:-1] + "]"),
    ],
)
def test_tagged_words_are_read_from_any_usual_file(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    pairs, case = read(tmp_path / name)
    assert pairs == EXPECTED
    assert case.target_column(pd.DataFrame()) == "tags"


def test_splits_of_tagged_files_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text(columns())
    case = Nlp(fetch=TextFetch(path=str(tmp_path), form="columns"))
    assert Nlp(fetch=TextFetch(path=str(tmp_path))).suggested_settings().settings == {"fetch.form": "columns"}
    rows = pd.concat(list(case.load()), ignore_index=True)
    assert rows.groupby("file")["subset"].first().to_dict() == {
        "eng.testa": "validation", "eng.testb": "test", "eng.train": "train",
    }  # fmt: skip


def test_packed_columns_are_recognized(tmp_path: Path) -> None:
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(columns().encode()))
    assert read(tmp_path / "train.txt.gz")[0] == EXPECTED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.csv", "text,label\nLondon calls,music\nParis sleeps,news\n"),
        ("my.txt", "one sentence\nanother sentence\n\nthird sentence\n"),
        ("my.tsv", "good\tO\nbad\tO\n\nworse\tO\n"),
        ("my.csv", "word,label\ngood,pos\nbad,neg\n"),
        ("my.jsonl", '{"text": "a b", "tags": ["x", "y"]}\n'),
    ],
)
def test_other_texts_are_not_taken_for_tagged_ones(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert Nlp(fetch=TextFetch(path=str(tmp_path / name))).suggested_settings().settings == {}


def test_a_stanza_without_the_form_is_told_to_set_it(tmp_path: Path) -> None:
    (tmp_path / "ner.csv").write_text(word_table(repeated=True))
    with pytest.raises(UserError, match=r"ner.csv holds words with tags; set fetch.form=columns to find names"):
        Nlp(fetch=TextFetch(path=str(tmp_path / "ner.csv"))).check_head()
    Nlp(fetch=TextFetch(path=str(tmp_path / "ner.csv"), text="Word"), model=TextModel(task="words")).suggested_settings()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ner.jsonl", '{"tokens": ["a", "b"], "ner_tags": [0, 3]}\n', "the tag '0' is a number; write the names of tags"),
        (
            "ner.jsonl",
            '{"tokens": ["a", "b"], "ner_tags": ["O"]}\n',
            "line 1: expected a list of words and a list with as many tags",
        ),
    ],
)
def test_tags_without_names_are_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words):
        Nlp(fetch=TextFetch(path=str(tmp_path / name), form="columns")).check_head()
