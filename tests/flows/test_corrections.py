"""`bonsai correct`: decisions are recorded with who and why, params.yaml names them, and suspected labels come first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flows import corrections
from tasks.cleaning.corrections import in_force
from tasks.core.errors import UserError
from tasks.core.storage.manifest import write_manifest
from tasks.data import sources
from tests.support import recorded_runs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose own folder has raw and clean rows."""
    root = recorded_runs.project(tmp_path / "p")
    recorded_runs.data(root, "nlp", "nlp")
    for name in ("raw", "clean"):
        write_manifest(root / "data/nlp" / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv("BONSAI_USER", "ann")
    return root


def place(root: Path, number: int = 0) -> tuple[str, int]:
    row = pd.read_parquet(root / "data/nlp/raw/part-00000.parquet").iloc[number]
    return str(row["file"]), int(row["row"])


def test_a_decision_is_kept_and_params_yaml_names_the_file_with_its_hash(project: Path, bonsai: Any) -> None:
    file, row = place(project)
    code, out, err = bonsai("correct", "nlp", f"{file}:{row}", "--label", "sports", "--why", "read it")
    assert (code, out.split(";")[0]) == (0, err + "recorded 1 decision in corrections/nlp.jsonl")
    entry = json.loads((project / "corrections/nlp.jsonl").read_text())
    assert (entry["file"], entry["row"], entry["action"], entry["label"]) == (file, row, "relabel", "sports")
    assert (entry["by"], entry["why"], len(entry["content"])) == ("ann", "read it", 16)
    code, _, _ = bonsai("correct", "nlp", f"{file}:{row}", "--exclude")
    assert code == 0
    clean = yaml.safe_load((project / "params.yaml").read_text())["use_cases"]["nlp"]["clean"]
    assert clean["corrections"] == "corrections/nlp.jsonl"
    assert clean["fingerprint"] == sources.fingerprint(project / "corrections/nlp.jsonl")
    assert [each.action for each in corrections.read_decisions(project, "nlp")] == ["relabel", "exclude"]


def test_a_decision_is_withdrawn_by_another_line(project: Path, bonsai: Any) -> None:
    file, row = place(project)
    code, _, err = bonsai("correct", "nlp", f"{file}:{row}", "--withdraw")
    assert (code, err.strip()) == (2, f"error: there is no decision on {file}:{row} to withdraw")
    for arguments in (("--label", "sports"), ("--withdraw", "--why", "read again")):
        code, _, _ = bonsai("correct", "nlp", f"{file}:{row}", *arguments)
        assert code == 0
    lines = corrections.read_decisions(project, "nlp")
    assert [(each.action, each.label) for each in lines] == [("relabel", "sports"), ("withdraw", "")]
    assert (lines[1].before, lines[1].by, lines[1].why) == ("sports", "ann", "read again")
    assert in_force(lines) == {}
    clean = yaml.safe_load((project / "params.yaml").read_text())["use_cases"]["nlp"]["clean"]
    assert clean["fingerprint"] == sources.fingerprint(project / "corrections/nlp.jsonl")


def test_rows_of_a_run_are_decided_on_without_any_in_the_own_folder(tmp_path: Path, bonsai: Any, monkeypatch: Any) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root, use_case="nlp")
    for name in ("raw", "clean"):
        write_manifest(folder / "data/nlp" / name)
    monkeypatch.chdir(root)
    row = pd.read_parquet(folder / "data/nlp/raw/part-00000.parquet").iloc[0]
    arguments = ("correct", "nlp", f"{row['file']}:{row['row']}", "--confirm")
    code, _, err = bonsai(*arguments)
    assert (code, "has no raw rows here yet" in err) == (2, True)
    code, _, err = bonsai(*arguments, "--run", folder.name)
    assert (code, err) == (0, "")
    assert [each.before for each in corrections.read_decisions(root, "nlp")] == [row["label"]]
    code, out, _ = bonsai("correct", "nlp", "--suspects", "3", "--run", folder.name)
    assert (code, out.splitlines()[0]) == (0, "file,row,split,label,suggested,margin")


def test_mistakes_are_told_and_nothing_is_recorded(project: Path, bonsai: Any) -> None:
    file, row = place(project)
    for arguments, expected in (
        (("nlp", "nowhere.csv:1", "--exclude"), "nlp has no raw row nowhere.csv:1"),
        (("nlp", f"{file}:{row}"), "name rows as FILE:ROW and one of"),
        (("nlp", f"{file}:{row}", "--label", "a", "--confirm"), "got --label and --confirm"),
        (("nlp", file, "--confirm"), "is no row; write FILE:ROW"),
        (("nlq", f"{file}:{row}", "--confirm"), "did you mean 'nlp'"),
    ):
        code, _, err = bonsai("correct", *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert expected in err
    assert not (project / "corrections").exists()
    with pytest.raises(UserError, match="no such action 'delete'"):
        corrections.record(project, "nlp", [{"file": file, "row": row, "action": "delete"}], "")


def test_swapped_labels_are_the_most_suspected_until_they_are_decided_on(project: Path, bonsai: Any) -> None:
    path = project / "data/nlp/clean/rows/part-00000.parquet"
    rows = pd.read_parquet(path)
    swapped = rows.index[rows["split"] == "train"][:3]
    rows.loc[swapped, "label"] = rows.loc[swapped, "label"].map(lambda label: "sports" if label != "sports" else "markets")
    rows.to_parquet(path, index=False)
    write_manifest(project / "data/nlp/clean")
    table = corrections.suspects(project, "nlp")
    expected = {(str(file), int(row)) for file, row in rows.loc[swapped, ["file", "row"]].itertuples(index=False)}
    first = {(file, row) for file, row in table[["file", "row"]].head(8).itertuples(index=False)}
    assert len(expected & first) >= 2
    assert table["margin"].is_monotonic_increasing
    assert (table["label"] != table["suggested"]).all()
    code, out, _ = bonsai("correct", "nlp", "--suspects", "8", "-o", "suspects.csv")
    assert (code, out.split(" to ")[0]) == (0, "wrote 8 rows")
    code, out, _ = bonsai("correct", "nlp", "--from", "suspects.csv", "--why", "all read")
    assert (code, out.split(" in ")[0]) == (0, "recorded 8 decisions")
    left = corrections.suspects(project, "nlp")
    assert not first & {(file, row) for file, row in left[["file", "row"]].itertuples(index=False)}
