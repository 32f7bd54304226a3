"""What `bonsai serve` has recorded and what `bonsai monitor` has found, for the page Monitoring."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from dashboard.readers import bonsai_commands, project_files
from dashboard.readers.artifact_models import parse_as
from dashboard.readers.bonsai_commands import CommandError
from flows.monitoring import one_pass
from flows.request_log import reader

if TYPE_CHECKING:
    from pandas import DataFrame

RECENT = 20_000
"""Rows of the log that the charts show at most."""
BINS = 60
"""Points of a chart over time."""
COLUMNS = ("request_id", "at", "model", "status", "error", "latency_ms", "predicted", "confidence")
ALARM_EXIT_CODE = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Statistic(_Part):
    """A statistic of the inputs or answers: the evidence of its drift as a power of ten, and its shares by cell."""

    name: str
    evidence: float
    alarm: bool = False
    kind: str = "number"
    edges: list[float] = []
    values: list[str] = []
    reference: list[float] = []
    recent: list[float] = []

    @property
    def cells(self) -> list[str]:
        """The name of each cell; the last one holds missing values, empty here."""
        if self.kind != "number":
            names = [*self.values, *[""] * (len(self.reference) - len(self.values))]
            return names[: len(self.reference)]
        bounds = [f"{edge:.4g}" for edge in self.edges]
        if not bounds:
            return [""] * len(self.reference)
        middle = [f"{low} – {high}" for low, high in pairwise(bounds)]
        names = [f"< {bounds[0]}", *middle, f"≥ {bounds[-1]}"]
        return (names + [""] * len(self.reference))[: len(self.reference)]


class Limit(_Part):
    """A share of requests that must stay below a limit."""

    name: str
    limit: float
    mean: float | None = None
    evidence: float = 0.0
    alarm: bool = False


class OpenAlarm(_Part):
    """An alarm that nobody acknowledged."""

    kind: str
    name: str
    message: str = ""
    at: str = ""


class Recent(_Part):
    """The last requests."""

    rows: int = 0
    requests: int = 0
    latency_ms: dict[str, float] = {}
    errors: dict[str, int] = {}


class LabelledAccuracy(_Part):
    """Accuracy among answers for which a right answer was sent; the interval holds at all times."""

    rows: int = 0
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


class Report(_Part):
    """The report of the last look."""

    model: str
    at: str
    requests: int = 0
    rows: int = 0
    last: str = ""
    reference: dict[str, int | str] = {}
    recent: Recent = Recent()
    threshold: float = 0.0
    statistics: list[Statistic] = []
    limits: list[Limit] = []
    feedback: LabelledAccuracy = LabelledAccuracy()
    alarms: list[OpenAlarm] = []


def report(root: Path, use_case: str) -> Report | None:
    """The report of the last look; None if there was none. Raises `Unreadable` for a file of another structure."""
    content = one_pass.read_report(root, project_files.slug(use_case))
    return None if content is None else parse_as(content, Report, one_pass.REPORT)


def requests(root: Path, use_case: str) -> DataFrame:
    """The last rows of the request log; raises `UserError` for a file that cannot be read."""
    return reader.read_requests(root, project_files.slug(use_case), columns=COLUMNS, limit=RECENT)


def over_time(rows: DataFrame) -> DataFrame:
    """Requests, median and 95th percentile of the latency, and mean confidence, in at most `BINS` equal spans of time.

    Columns at (start of the span, UTC), requests, p50, p95 and confidence; a span without requests has no latency.
    """
    import pandas as pd

    whole = rows.drop_duplicates("request_id")
    first, last = whole["at"].min(), whole["at"].max()
    span = max((last - first) / BINS, pd.Timedelta(seconds=1))
    bins = ((whole["at"] - first) // span).clip(upper=BINS)
    grouped = whole.groupby(bins)
    table = pd.DataFrame(
        {
            "requests": grouped.size(),
            "p50": grouped["latency_ms"].median(),
            "p95": grouped["latency_ms"].quantile(0.95),
            "confidence": grouped["confidence"].mean(),
        }
    )
    return table.assign(at=[first + span * number for number in table.index]).reset_index(drop=True)


def look_now(root: Path, use_case: str) -> None:
    """Run `bonsai monitor` for the use case; raises `CommandError` where it fails. An open alarm is no failure."""
    _run(root, "monitor", project_files.slug(use_case))


def acknowledge(root: Path, use_case: str, why: str) -> None:
    """Close the open alarms with this reason; raises `CommandError`."""
    _run(root, "monitor", project_files.slug(use_case), "--acknowledge", why)


def _run(root: Path, *arguments: str) -> None:
    done = bonsai_commands.run(root, *arguments)
    if done.returncode not in (0, ALARM_EXIT_CODE) or "error: " in done.stderr:
        raise CommandError((done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
