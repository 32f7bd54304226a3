"""Rows whose labels deserve a look: mistakes of a model, suspected labels, quarantined rows; and the decisions on rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.readers import bonsai_commands, project_files
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs.run_records import WORKSPACE, Run
from dashboard.text import formatting
from flows import corrections
from tasks.cleaning.corrections import Decision, Place, in_force
from tasks.core.compression import DENSE
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage import manifest

if TYPE_CHECKING:
    from pandas import DataFrame

LABEL = "label"
CANDIDATE_COLUMNS = ("file", "row", "split", "label", "suggested")
MAX_SUSPECTS = 1000
"""The most suspected labels that are kept."""
MAX_CLASSES = 500
"""The most classes that are offered as the right label."""
SUSPECTS_FOLDER = Path(".bonsai") / "suspects"
TIMEOUT_S = 900
"""A classic model is fitted five times on all rows."""


def has_labels(artifacts: Artifacts) -> bool:
    """Whether the rows have one label each, which can be corrected."""
    return LABEL in artifacts.columns("clean/rows")


def classes(artifacts: Artifacts) -> list[str]:
    """The labels of the clean rows, sorted; none where there are more than `MAX_CLASSES`, as of a number."""
    labels = artifacts.rows("clean/rows", [LABEL])[LABEL].astype(str).unique()
    return sorted(labels) if len(labels) <= MAX_CLASSES else []


def model_of(artifacts: Artifacts) -> str:
    """The model whose mistakes are shown: the released one, or dense."""
    released = artifacts.released()
    return released if released in artifacts.models() else DENSE


def misclassified(artifacts: Artifacts) -> DataFrame:
    """The rows (N,) that the model gets wrong on validation and test, the most confident first.

    Columns file, row, split, label, suggested, confidence (0..1); empty for a model that answers with numbers.
    """
    import pandas as pd

    model = model_of(artifacts)
    needed = ("file", "row", "split", LABEL, "predicted", "confidence")
    parts = [artifacts.predictions(model, split, needed[:4]) for split in EVALUATION_SPLITS]
    if any(set(needed) - set(part) for part in parts):
        return pd.DataFrame(columns=[*CANDIDATE_COLUMNS, "confidence"])
    rows = pd.concat([part[list(needed)] for part in parts], ignore_index=True).rename(columns={"predicted": "suggested"})
    wrong = rows[rows[LABEL].astype(str) != rows["suggested"].astype(str)]
    return wrong.sort_values("confidence", ascending=False, kind="stable").reset_index(drop=True)


def suspects(artifacts: Artifacts) -> DataFrame | None:
    """The suspected labels of the clean rows, the most suspected first; None where nobody has looked for them yet.

    Columns file, row, split, label, suggested, margin (-1..0, see `tasks.monitoring.suspects`).
    """
    import pandas as pd

    path = _suspects_file(artifacts)
    if not path.is_file():
        return None
    text = dict.fromkeys(("file", "split", LABEL, "suggested"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def find_suspects(run: Run, artifacts: Artifacts) -> None:
    """Look for suspected labels with `bonsai correct`; kept as long as the clean rows stay. Raises `CommandError`."""
    path = _suspects_file(artifacts)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    arguments = ["correct", project_files.slug(artifacts.use_case), "--suspects", str(MAX_SUSPECTS), "-o", str(partial)]
    arguments += [] if run.id == WORKSPACE else ["--run", run.id]
    done = bonsai_commands.run(run.root, *arguments, timeout_s=TIMEOUT_S)
    if done.returncode:
        raise CommandError((done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
    import pandas as pd

    table = pd.read_csv(partial, dtype=str, keep_default_na=False)
    table = table.rename(columns={LABEL: "suggested", "before": LABEL}).drop(columns="action")
    table.to_csv(partial, index=False)
    partial.replace(path)


def quarantined(artifacts: Artifacts) -> DataFrame:
    """The quarantined rows with their reason, plain duplicates last; empty without any."""
    import pandas as pd

    try:
        rows = artifacts.rows_with_columns("clean/quarantine", ["file", "row", "reason"])
        return rows.sort_values("reason", key=lambda reasons: reasons.map(_is_plain_duplicate), kind="stable")
    except Unreadable as error:
        if error.key != "unreadable.missing":
            raise
        return pd.DataFrame(columns=[*CANDIDATE_COLUMNS, "reason"])


def contents(artifacts: Artifacts, candidates: DataFrame) -> DataFrame:
    """The candidates (N,), in their order, with the content of their clean rows: picture, text or columns."""
    import pandas as pd

    if candidates.empty:
        return candidates
    files, rows = sorted(set(candidates["file"].astype(str))), sorted({int(row) for row in candidates["row"]})
    content = artifacts.rows("clean/rows", None, [("file", "in", files), ("row", "in", rows)])
    content = content.drop(columns=[name for name in candidates.columns if name in content and name not in ("file", "row")])
    merged: pd.DataFrame = candidates.astype({"file": str, "row": int}).merge(
        content.astype({"file": str, "row": int}).drop_duplicates(["file", "row"]), on=["file", "row"], how="left"
    )
    return merged


def without(candidates: DataFrame, places: Collection[Place]) -> DataFrame:
    """The candidates without the rows at these places."""
    keep = [(str(file), int(row)) not in places for file, row in zip(candidates["file"], candidates["row"], strict=True)]
    return candidates[keep].reset_index(drop=True)


def decisions(root: Path, use_case: str) -> list[Decision]:
    """All lines of the file of decisions, the oldest first; raises `UserError` where it is damaged."""
    return corrections.read_decisions(root, project_files.slug(use_case))


def waiting(lines: Sequence[Decision], run: Run) -> list[Decision]:
    """The last decision on each row that was decided on after the run was requested; all of them for the project's own folder."""
    began = formatting.parse_time(run.record.created_at or run.record.started_at)
    last = {decision.place: decision for decision in lines}
    return [each for each in last.values() if began is None or (at := formatting.parse_time(each.at)) is None or at > began]


def decided_places(lines: Sequence[Decision]) -> set[Place]:
    """The rows with a decision in force."""
    return set(in_force(lines))


def workspace_of(run: Run) -> Path | None:
    """The folder whose raw rows are decided on; None for the project's own."""
    return None if run.id == WORKSPACE else run.folder


def _is_plain_duplicate(reason: object) -> bool:
    """Whether a row was dropped as the same row with the same label as another one."""
    return str(reason).startswith("duplicate") and "labelled" not in str(reason)


def _suspects_file(artifacts: Artifacts) -> Path:
    """Where the suspects of these very rows are kept; raises `Unreadable` where the rows have no manifest."""
    hashed = manifest.root_hash(artifacts.use_case_folder / "clean")
    if not hashed:
        raise Unreadable("unreadable.missing", file=f"clean/{manifest.CHECKSUMS}")
    return artifacts.root / SUSPECTS_FOLDER / f"{project_files.slug(artifacts.use_case)}-{hashed[:16]}.csv"
