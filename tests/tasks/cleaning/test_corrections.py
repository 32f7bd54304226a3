"""Decisions on rows: applied by clean where the row is still the same, counted either way, and never silently lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.cleaning import corrections, deduplication, partitions, quality_report
from tasks.cleaning.corrections import Decision
from tasks.core.errors import UserError
from tasks.core.use_case import UseCase
from tasks.data import sources
from tests.support import dashboard_scenarios


def with_file(case: UseCase, path: Path, decisions: list[Decision]) -> UseCase:
    path.write_text("".join(map(corrections.as_line, decisions)), encoding="utf-8")
    return replace(case, clean=replace(case.clean, corrections=str(path), fingerprint=sources.fingerprint(path)))


def cleaned(case: UseCase, raw: pd.DataFrame, place: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Kept and rejected rows, and the quality report with the counts of corrections."""
    (place / "quarantine").mkdir(parents=True)
    raw.to_parquet(place / "raw.parquet")
    partitions.clean_partition_file(case, place / "raw.parquet", 0, place)
    outcomes = deduplication.deduplicate_and_split(case, pd.read_parquet(place / "light-00000.parquet"))
    outcomes.to_parquet(place / "outcomes-00000.parquet")
    partitions.write_partition_outputs(place / "raw.parquet", 0, place)
    report = quality_report.build_quality_report(case, outcomes) | {"corrections": corrections.count(case, outcomes)}
    quality_report.check_reject_share(replace(case.clean, max_reject_share=0.0), outcomes, place)
    kept, rejected = (place / name / "part-00000.parquet" for name in ("rows", "quarantine"))
    return pd.read_parquet(kept), pd.read_parquet(rejected) if rejected.exists() else raw.head(0), report


def decide(raw: pd.DataFrame, place: int, action: Any, label: str = "", **more: Any) -> Decision:
    row = raw.iloc[place]
    content = corrections.content_hash(row)
    return Decision(str(row["file"]), int(row["row"]), action, label, str(row["label"]), content, "ann", "2026-12-01", **more)


@pytest.mark.parametrize("name", ["nlp", "credit"])
def test_rows_are_relabelled_excluded_and_confirmed_and_counted(name: str, tmp_path: Path) -> None:
    scene = dashboard_scenarios.of(name)
    kept = scene.kept[["file", "row"]].apply(tuple, axis=1).tolist()
    raw = scene.raw[[place in kept for place in scene.raw[["file", "row"]].apply(tuple, axis=1)]].reset_index(drop=True)
    labels = sorted(set(raw["label"]))
    other = next(label for label in labels if label != raw["label"][3])
    decisions = [
        decide(raw, 3, "confirm"),
        decide(raw, 3, "relabel", other),
        decide(raw, 4, "exclude", why="two animals"),
        decide(raw, 5, "confirm"),
        replace(decide(raw, 6, "exclude"), content="0" * 16),
        replace(decide(raw, 7, "exclude"), file="gone.csv"),
        decide(raw, 8, "exclude"),
        decide(raw, 8, "withdraw"),
    ]
    before, _, _ = cleaned(scene.case, raw, tmp_path / "before")
    after, rejected, report = cleaned(with_file(scene.case, tmp_path / "c.jsonl", decisions), raw, tmp_path / "after")
    assert report["corrections"] == {"confirmed": 1, "relabelled": 1, "excluded": 1, "not applied": 2}
    assert len(after) == len(before) - 1
    assert report["reasons"] == {"excluded": 1}
    assert rejected["reason"].tolist() == ["excluded: by ann: two animals"]
    key = ["file", "row"]
    row = after[(after[key] == raw.loc[3, key]).all(axis=1)].iloc[0]
    assert (row["label"], row["fix"].split("; ")[-1]) == (other, "relabelled")
    assert report["fixes"]["relabelled"] == 1
    assert report["remarks"]["confirmed"] == 1
    unchanged = after.merge(before, on=key, suffixes=("", "_before"))
    assert (unchanged["label"] != unchanged["label_before"]).sum() == 1


def test_a_file_that_changed_since_it_was_named_is_refused(tmp_path: Path) -> None:
    scene = dashboard_scenarios.of("nlp")
    case = with_file(scene.case, tmp_path / "c.jsonl", [decide(scene.raw, 0, "confirm")])
    assert len(corrections.of(case)) == 1
    (tmp_path / "c.jsonl").write_text("")
    with pytest.raises(UserError, match=r"c\.jsonl changed"):
        corrections.of(case)


@pytest.mark.parametrize(
    "line", ["nonsense", "{}", '{"file": "a", "row": 1, "action": "delete"}', '{"file": "a", "row": 1, "action": "relabel"}']
)
def test_a_line_that_is_no_decision_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(corrections.as_line(Decision("a", 1, "confirm")) + line + "\n")
    with pytest.raises(UserError, match=r"c\.jsonl, line 2: no decision"):
        corrections.read(path)


def test_numbers_have_no_labels_to_correct(tmp_path: Path) -> None:
    scene = dashboard_scenarios.of("finance")
    case = with_file(scene.case, tmp_path / "c.jsonl", [Decision("a", 1, "confirm")])
    with pytest.raises(UserError, match="finance has no labels to correct"):
        corrections.of(case)
