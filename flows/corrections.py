"""Record decisions on rows in `corrections/<use case>.jsonl`, and let the stage clean read them through params.yaml."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Mapping
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.parameters import yaml_edit
from flows.system.file_locks import hold_lock
from tasks.cleaning import corrections
from tasks.cleaning.corrections import ACTIONS, WITHDRAW, Decision
from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.registry import unknown_name
from tasks.core.storage.artifacts import Artifact, Table
from tasks.core.storage.atomic_files import write_bytes
from tasks.data import sources
from tasks.monitoring.suspects import suspected_labels

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = "corrections"


def path_of(root: Path, use_case: str) -> Path:
    """The file of a use case's decisions; git holds it."""
    return root / FOLDER / f"{use_case}.jsonl"


def read_decisions(root: Path, use_case: str) -> list[Decision]:
    """All decisions in their order, also those that a later one replaces."""
    path = path_of(root, use_case)
    return corrections.read(path) if path.exists() else []


def suspects(root: Path, use_case: str, limit: int = 0, workspace: Path | None = None) -> DataFrame:
    """The clean rows whose labels are suspected, the most suspected first, without those decided on.

    `workspace` is the folder of a run; without it the rows are those of the project's own folder. Columns file, row, split,
    label, suggested, margin; see `tasks.monitoring.suspects`. Takes seconds to minutes.
    """
    place = workspace or root
    with chdir(place):
        case = params_file.build_use_case(use_case, params_file.read_params(place / "params.yaml"))
        rows = Table(Artifact(place / "data" / use_case / "clean").open() / "rows").read()
        table = suspected_labels(case, rows[rows["split"].isin(["train", "validation", "test"])].reset_index(drop=True))
    decided = set(corrections.in_force(read_decisions(root, use_case)))
    is_open = [(str(file), int(row)) not in decided for file, row in zip(table["file"], table["row"], strict=True)]
    return table[is_open].head(limit or len(table)).reset_index(drop=True)


def record(
    root: Path,
    use_case: str,
    wished: Iterable[Mapping[str, Any]],
    why: str,
    who: str = "",
    workspace: Path | None = None,
) -> list[Decision]:
    """Append decisions, each with `file`, `row`, `action` and, to relabel, `label`; returns them as they are in the file.

    `workspace` is the folder of the run whose raw rows are meant; without it they are those of the project's own folder. The
    decisions take effect when the stage clean runs next: `clean.corrections` and its fingerprint are set in params.yaml. Raises
    a `UserError`, and records nothing, for a row that the raw data do not have or an action that there is not.
    """
    who = who or os.environ.get("BONSAI_USER") or getpass.getuser()
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    by_place = {(str(each["file"]), int(each["row"])): each for each in wished}
    decided = corrections.in_force(read_decisions(root, use_case))
    kept = {place for place, each in by_place.items() if str(each["action"]) != WITHDRAW}
    rows = _raw_rows(workspace or root, use_case, kept) if kept else {}
    made = [
        _withdrawal(decided, place, who, at, why)
        if str(each["action"]) == WITHDRAW
        else _decision(use_case, place, each, rows.get(place), who, at, why)
        for place, each in by_place.items()
    ]
    with hold_lock(root / ".bonsai" / "locks" / f"corrections-{use_case}"):
        path = path_of(root, use_case)
        before_bytes = path.read_bytes() if path.exists() else b""
        write_bytes(path, before_bytes + "".join(map(corrections.as_line, made)).encode())
        prefix = f"use_cases.{use_case}.clean"
        values = {f"{prefix}.corrections": f"{FOLDER}/{use_case}.jsonl", f"{prefix}.fingerprint": sources.fingerprint(path)}
        yaml_edit.set_values(root / "params.yaml", values)
    return made


def _decision(
    use_case: str, place: tuple[str, int], wished: Mapping[str, Any], row: Any, who: str, at: str, why: str
) -> Decision:
    """A decision on a raw row; None for `row` means that there is no such row."""
    action, label = str(wished["action"]), str(wished.get("label") or "").strip()
    if action not in ACTIONS:
        raise UserError(unknown_name("no such action", action, ACTIONS))
    if row is None:
        raise UserError(f"{use_case} has no raw row {place[0]}:{place[1]}; `bonsai correct {use_case} --suspects 20` lists some")
    before = str(row["label"])
    if action == "relabel" and not label:
        raise UserError(f"{place[0]}:{place[1]}: to relabel a row, give its right label")
    label = label if action == "relabel" else "" if action == "exclude" else before
    return Decision(place[0], place[1], action, label, before, corrections.content_hash(row), who, at, why)


def _withdrawal(decided: Mapping[tuple[str, int], Decision], place: tuple[str, int], who: str, at: str, why: str) -> Decision:
    """The line that takes the decision on a row back."""
    if place not in decided:
        raise UserError(f"there is no decision on {place[0]}:{place[1]} to withdraw")
    last = decided[place]
    return Decision(place[0], place[1], WITHDRAW, "", last.label or last.before, last.content, who, at, why)


def _raw_rows(workspace: Path, use_case: str, places: set[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    """The raw rows at these places, of the project's own folder or of a run's; whole partitions are read only where one is."""
    raw = workspace / "data" / use_case / "raw"
    if not raw.is_dir():
        raise UserError(f"{use_case} has no raw rows here yet; `bonsai run {use_case}` makes them")
    import pandas as pd

    rows: dict[tuple[str, int], Any] = {}
    table = Table(Artifact(raw).open())
    for path, places_of_part in zip(table.parts(), table.partitions(["file", "row"]), strict=True):
        keys = list(zip(places_of_part["file"].astype(str), places_of_part["row"].astype(int), strict=True))
        if not places.intersection(keys):
            continue
        part = pd.read_parquet(path)
        if "label" not in part:
            raise UserError(f"{use_case} has no labels to correct")
        rows |= {key: part.iloc[place] for place, key in enumerate(keys) if key in places}
    return rows
