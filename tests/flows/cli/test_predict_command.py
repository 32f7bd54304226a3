"""`bonsai predict` answers files, folders and standard input with the released model, and reports what it rejected."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tasks.core.storage.artifacts import Artifact, Table, read_split
from tests.support import recorded_runs

TEXTS = ("texts.txt", "texts.jsonl", "texts.csv")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose released text model is the dense one of a recorded run, with three texts of its test rows."""
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root, number=0, use_case="nlp")
    with Artifact(root / "data/nlp/release").draft() as draft:
        shutil.copyfile(folder / "data/nlp/compressed/dense/model.onnx", draft / "model.onnx")
    texts = read_split(Table(folder / "data/nlp/clean/rows"), "test")["text"].tolist()[:3]
    (root / "texts.txt").write_text("\n".join(texts) + "\n")
    (root / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pd.DataFrame({"text": texts}).to_csv(root / "texts.csv", index=False)
    monkeypatch.chdir(root)
    return root


def test_every_kind_of_file_gets_the_same_answers(project: Path, bonsai: Any) -> None:
    answers = []
    for name in TEXTS:
        code, out, err = bonsai("predict", "nlp", name)
        assert (code, err) == (0, "")
        answers.append([json.loads(line) for line in out.splitlines()])
    assert len(answers[0]) == 3
    assert [[each["probabilities"] for each in lines] for lines in answers] == [
        [each["probabilities"] for each in answers[0]]
    ] * 3
    assert {each["file"] for each in answers[1]} == {"texts.jsonl"}
    assert answers[0][0]["predicted"] == max(answers[0][0]["probabilities"], key=answers[0][0]["probabilities"].get)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_answers_are_written_to_a_file_of_the_kind_of_its_name(project: Path, bonsai: Any, ending: str) -> None:
    code, out, err = bonsai("predict", "nlp", "texts.csv", "texts.txt", "-o", f"answers.{ending}")
    assert (code, out, err) == (0, "", "6 rows answered, 0 rejected\n")
    read = {"jsonl": lambda path: pd.read_json(path, lines=True), "csv": pd.read_csv, "parquet": pd.read_parquet}[ending]
    table = read(project / f"answers.{ending}")
    assert table["file"].tolist() == ["texts.csv"] * 3 + ["texts.txt"] * 3
    assert table["predicted"].notna().all()
    assert list(project.glob(".answers*")) == []


def test_rejected_rows_are_reported_and_the_exit_code_says_so(project: Path, bonsai: Any) -> None:
    with (project / "texts.txt").open("a") as file:
        file.write("\x00\x00\n")
    code, out, err = bonsai("predict", "nlp", "texts.txt")
    assert code == 3
    assert len(out.splitlines()) == 3
    assert err.startswith("rejected texts.txt:4: ")
    assert err.endswith("3 rows answered, 1 rejected\n")
    code, out, err = bonsai("predict", "nlp", "texts.txt", "--rejected", "bad.csv")
    assert pd.read_csv(project / "bad.csv")["row"].tolist() == [4]
    assert err == "3 rows answered, 1 rejected\n"


def test_standard_input_is_read(project: Path, bonsai: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((project / "texts.txt").read_bytes())))
    code, out, _ = bonsai("predict", "nlp", "-")
    assert code == 0
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["stdin.txt"] * 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nlq", "texts.txt"), "did you mean 'nlp'"),
        (("nlp", "text.txt"), "texts.txt"),
        (("nlp", "texts.txt", "-o", "answers.xlsx"), "no known ending"),
        (("nlp", "texts.txt", "-o", "no/answers.csv"), "there is no folder no"),
        (("nlp", "empty.txt", "-o", "answers.csv"), "empty.txt: nothing to predict; the use case takes texts"),
        (("vision", "texts.txt"), "there is no folder"),
        (("nlp", "texts.txt", "--release", "releases"), "there is no folder releases"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    project: Path, bonsai: Any, arguments: tuple[str, ...], expected: str
) -> None:
    (project / "empty.txt").touch()
    before = sorted(project.iterdir())
    code, out, err = bonsai("predict", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert sorted(project.iterdir()) == before
