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
from tasks.cleaning.corrections import ACTIONS, Decision
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


def suspects(root: Path, use_case: str, limit: int = 0) -> DataFrame:
    """The rows of the project's clean data whose labels are suspected, the most suspected first, without those decided on.

    Columns file, row, split, label, suggested, margin; see `tasks.monitoring.suspects`. Takes seconds to minutes.
    """
    with chdir(root):
        case = params_file.build_use_case(use_case, params_file.read_params(root / "params.yaml"))
        rows = Table(Artifact(root / "data" / use_case / "clean").open() / "rows").read()
        table = suspected_labels(case, rows[rows["split"].isin(["train", "validation", "test"])].reset_index(drop=True))
    decided = set(corrections.in_force(read_decisions(root, use_case)))
    is_open = [(str(file), int(row)) not in decided for file, row in zip(table["file"], table["row"], strict=True)]
    return table[is_open].head(limit or len(table)).reset_index(drop=True)


def record(root: Path, use_case: str, wished: Iterable[Mapping[str, Any]], why: str, who: str = "") -> list[Decision]:
    """Append decisions, each with `file`, `row`, `action` and, to relabel, `label`; returns them as they are in the file.

    They take effect when the stage clean runs next: `clean.corrections` and its fingerprint are set in params.yaml. Raises a
    `UserError`, and records nothing, for a row that the raw data do not have or an action that there is not.
    """
    who = who or os.environ.get("BONSAI_USER") or getpass.getuser()
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    by_place = {(str(each["file"]), int(each["row"])): each for each in wished}
    rows = _raw_rows(root, use_case, set(by_place))
    made = []
    for place, each in by_place.items():
        action, label = str(each["action"]), str(each.get("label") or "").strip()
        if action not in ACTIONS:
            raise UserError(unknown_name("no such action", action, ACTIONS))
        if place not in rows:
            raise UserError(
                f"{use_case} has no raw row {place[0]}:{place[1]}; `bonsai correct {use_case} --suspects 20` lists some"
            )
        before = str(rows[place]["label"])
        if action == "relabel" and not label:
            raise UserError(f"{place[0]}:{place[1]}: to relabel a row, give its right label")
        label = label if action == "relabel" else "" if action == "exclude" else before
        content = corrections.content_hash(rows[place])
        made.append(Decision(place[0], place[1], action, label, before, content, who, at, why))
    with hold_lock(root / ".bonsai" / "locks" / f"corrections-{use_case}"):
        path = path_of(root, use_case)
        before_bytes = path.read_bytes() if path.exists() else b""
        write_bytes(path, before_bytes + "".join(map(corrections.as_line, made)).encode())
        prefix = f"use_cases.{use_case}.clean"
        values = {f"{prefix}.corrections": f"{FOLDER}/{use_case}.jsonl", f"{prefix}.fingerprint": sources.fingerprint(path)}
        yaml_edit.set_values(root / "params.yaml", values)
    return made


def _raw_rows(root: Path, use_case: str, places: set[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    """The raw rows of the project at these places."""
    raw = root / "data" / use_case / "raw"
    if not raw.is_dir():
        raise UserError(f"{use_case} has no raw rows here yet; `bonsai run {use_case}` makes them")
    rows: dict[tuple[str, int], Any] = {}
    for part in Table(Artifact(raw).open()).partitions():
        keys = list(zip(part["file"].astype(str), part["row"].astype(int), strict=True))
        if "label" not in part:
            raise UserError(f"{use_case} has no labels to correct")
        rows |= {key: part.iloc[place] for place, key in enumerate(keys) if key in places}
    return rows
