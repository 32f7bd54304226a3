"""Decisions of people on single rows: confirmed, relabelled or excluded; kept in a file and applied by the stage clean.

The file holds one JSON object per line: `file`, `row`, `action`, `label`, `before`, `content`, `by`, `at`, `why`. The last line
for a row counts; one that withdraws leaves the row as if nobody had decided on it. A decision whose row is no longer there, or
has other content, is not applied, and is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tasks.core.errors import UserError
from tasks.core.use_case import UseCase
from tasks.data import sources

if TYPE_CHECKING:
    from pandas import DataFrame

Action = Literal["confirm", "relabel", "exclude", "withdraw"]
ACTIONS: tuple[Action, ...] = get_args(Action)
WITHDRAW: Action = "withdraw"
EXCLUDED = "excluded: "
RELABELLED, CONFIRMED = "relabelled", "seen confirmed"
NOT_APPLIED = "not applied"
CONTENT_COLUMNS = ("image", "text")
"""Columns of raw rows that are their content alone; without one of them all columns of the table are."""
Place = tuple[str, int]
"""File and row of a raw row."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the file."""

    file: str
    row: int
    action: Action
    label: str = ""
    """The right label; empty for a row that is excluded, and for a decision that is withdrawn."""
    before: str = ""
    """The label that the row had."""
    content: str = ""
    """A hash of the row without its label."""
    by: str = ""
    at: str = ""
    """ISO 8601, in UTC."""
    why: str = ""

    @property
    def place(self) -> Place:
        return self.file, self.row


def read(path: Path) -> list[Decision]:
    """All decisions in their order. Raises a `UserError` that names the first line that is none."""
    decisions = []
    for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), start=1):
        try:
            values = json.loads(line)
            decision = Decision(**values)
            if (
                decision.action not in ACTIONS
                or not isinstance(decision.row, int)
                or (decision.action == "relabel" and not decision.label)
            ):
                raise ValueError(decision.action)
        except (ValueError, TypeError):
            raise UserError(
                f"{path}, line {number}: no decision on a row; restore the file from git, or delete the line"
            ) from None
        decisions.append(decision)
    return decisions


def as_line(decision: Decision) -> str:
    return json.dumps(asdict(decision), ensure_ascii=False) + "\n"


def in_force(decisions: Iterable[Decision]) -> dict[Place, Decision]:
    """The last decision on each row, without those that were withdrawn."""
    last = {decision.place: decision for decision in decisions}
    return {place: decision for place, decision in last.items() if decision.action != WITHDRAW}


def of(case: UseCase) -> dict[Place, Decision]:
    """The decisions that `clean.corrections` names; none without it. Raises a `UserError` when the file is another one."""
    if not case.clean.corrections:
        return {}
    if not case.problem.label_column:
        raise UserError(f"{case.name} has no labels to correct; leave clean.corrections empty")
    return in_force(read(sources.verified_path(case.clean.corrections, case.clean.fingerprint)))


def apply(case: UseCase, raw: DataFrame) -> tuple[DataFrame, list[Decision | None]]:
    """Raw rows (N,) with the labels that people gave them, and the decision on each row, None for most."""
    decisions = of(case)
    if not decisions:
        return raw, [None] * len(raw)
    labels, applied = raw["label"].to_numpy(object, copy=True), list[Decision | None]()
    for place, key in enumerate(zip(raw["file"], raw["row"], strict=True)):
        decision = decisions.get((str(key[0]), int(key[1])))
        if decision and decision.content and decision.content != content_hash(raw.iloc[place]):
            decision = None
        if decision and decision.action == "relabel":
            labels[place] = decision.label
        applied.append(decision)
    return raw.assign(label=labels), applied


def mark(rows: DataFrame, decisions: list[Decision | None]) -> DataFrame:
    """Cleaned rows (N,) with the decision in `fix`, or in `fault` where the row is excluded."""
    if not any(decisions):
        return rows
    fault, fix = rows["fault"].to_numpy(object, copy=True), rows["fix"].to_numpy(object, copy=True)
    for place, decision in enumerate(decisions):
        if decision is None:
            continue
        if decision.action == "exclude":
            fault[place] = f"{EXCLUDED}by {decision.by or 'someone'}{': ' + decision.why if decision.why else ''}"
        else:
            note = RELABELLED if decision.action == "relabel" else CONFIRMED
            fix[place] = "; ".join(filter(None, [fix[place], note]))
    return rows.assign(fault=fault, fix=fix)


def count(case: UseCase, outcomes: DataFrame) -> dict[str, int]:
    """How many decisions were applied, by what they do, and how many were not; empty without a file."""
    decisions = of(case)
    if not decisions:
        return {}
    fixes = outcomes["fix"].str.split("; ")
    counts = {
        "confirmed": int(fixes.map(lambda notes: CONFIRMED in notes).sum()),
        RELABELLED: int(fixes.map(lambda notes: RELABELLED in notes).sum()),
        "excluded": int(outcomes["reason"].str.startswith(EXCLUDED).sum()),
    }
    return {**counts, NOT_APPLIED: len(decisions) - sum(counts.values())}


def content_hash(row: Mapping[str, Any] | Any) -> str:
    """A hash of a raw row without its label, by which a decision knows its row again; 16 hexadecimal digits."""
    names = [name for name in CONTENT_COLUMNS if name in row]
    if not names:
        names = sorted(json.loads(row["kinds"])) if "kinds" in row else []
    digest = blake2b(digest_size=8)
    for name in names:
        value = row[name]
        digest.update(value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()
