"""The shapes of what evaluate, clean and release write, as the pages read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dashboard.readers.project_files import Unreadable

if TYPE_CHECKING:
    pass


T = TypeVar("T")


class Reading(BaseModel):
    """What is read of a file that others wrote: more than is asked for may be in it, never less."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Interval(Reading):
    """A number with the interval that holds the truth with probability `level`, and the rows it stands on."""

    value: float
    low: float
    high: float
    rows: int = 0
    method: str = ""
    level: float = 0.95


class DataQualityReport(Reading):
    """Where every raw row ended."""

    rows_in: int
    kept: int
    fixed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = {}
    fixes: dict[str, int] = {}
    remarks: dict[str, int] = {}
    """What was seen and left as it is, such as a value that is missing."""
    leaks: dict[str, int] = {}
    contradictions: int = 0
    near_duplicates: dict[str, int] = {}
    splits: dict[str, int] = {}
    classes: dict[str, dict[str, int]] = {}
    files: dict[str, dict[str, int]] = {}


class SplitMetrics(Reading):
    """How well one model answers the rows of one split."""

    rows: int
    scores: dict[str, float | None]
    first: str
    interval: Interval
    report: dict[str, Any] = {}

    @property
    def value(self) -> float | None:
        return self.scores.get(self.first)


class Baseline(Reading):
    scores: dict[str, float | None]
    interval: Interval


class Gain(Reading):
    """By how much the network is better than a rival, and whether that may be luck."""

    value: float
    low: float
    high: float
    p: float | None = None
    method: str = ""

    @property
    def test(self) -> str:
        """The method without the number that `p` holds."""
        return self.method if self.p is None else self.method.replace(f" p {self.p:.3f}", "")


class ClassChange(Reading):
    """What one class lost against the dense model."""

    name: str
    rows: int
    dense: float
    own: float
    drop: float
    low: float
    high: float

    @classmethod
    def of(cls, found: dict[str, Any]) -> ClassChange:
        return cls(name=str(found["class"]), **{key: found[key] for key in ("rows", "dense", "own", "drop", "low", "high")})


class Flipped(Reading):
    """A row that one model gets right and the other does not: which it is, and what either said of it."""

    side: Literal["lost", "won"]
    file: Any = None
    row: Any = None
    own: dict[str, Any] = {}
    dense: dict[str, Any] = {}


class Comparison(Reading):
    """What was lost against the dense model on the same rows."""

    drop: Interval
    at_most: float
    classes: list[dict[str, Any]] = []
    lost: int | None = None
    won: int | None = None
    mcnemar_p: float | None = None
    flipped: list[dict[str, Any]] = []

    @property
    def by_class(self) -> list[ClassChange]:
        try:
            return [ClassChange.of(each) for each in self.classes]
        except (KeyError, ValidationError):
            raise Unreadable("unreadable.shape", file="metrics.json") from None

    @property
    def changed(self) -> list[Flipped]:
        return understood(self.flipped, list[Flipped], "metrics.json")


class Metrics(Reading):
    """metrics.json of one recipe."""

    recipe: str
    rows: dict[str, int] = {}
    bytes: int
    bytes_share: float
    parameters: int
    macs: int = 0
    splits: dict[str, SplitMetrics]
    baselines: dict[str, dict[str, Baseline]] = {}
    against_rivals: dict[str, dict[str, Any]] = {}
    against_dense: dict[str, Comparison] = {}

    def gains(self, split: str) -> dict[str, Gain]:
        """The network's gain over each rival; only the dense model's metrics know it."""
        return understood(self.against_rivals.get(split, {}).get("gains") or {}, dict[str, Gain], "metrics.json")


class Batch(Reading):
    median_ms: float
    low_ms: float = 0.0
    high_ms: float = 0.0
    p95_ms: float
    runs: int = 0


class Speedup(Reading):
    ratio: float
    low: float
    high: float
    at_least: float = 0.0
    verdict: str = ""


class Variant(Reading):
    batches: dict[str, Batch]
    speedup_over: dict[str, dict[str, Speedup]] = {}
    peak_memory_bytes: int | None = None
    load_s: float | None = None


class Latency(Reading):
    """latency.json of one recipe: itself, the dense file and the dense network under PyTorch."""

    machine: dict[str, Any] = {}
    threads: int = 1
    rounds: int = 0
    variants: dict[str, Variant]


class Row(Reading):
    """One line of the release's table."""

    recipe: str
    metric: str
    value: float
    low: float
    high: float
    test_rows: int = 0
    drop: Interval | None = None
    mcnemar_p: float | None = None
    bytes: int
    size_share: float
    parameters: int = 0
    macs: int = 0
    latency_ms: dict[str, dict[str, float]] = {}
    speedup_over: dict[str, dict[str, Speedup]] = {}
    peak_memory_bytes: int | None = None
    status: str = ""
    chosen: bool = False


class Table(Reading):
    rows: Annotated[list[Row], Field(min_length=1)]
    baselines: list[dict[str, Any]] = []
    machine: dict[str, Any] = {}
    threads: int = 1


class Candidate(Reading):
    recipe: str
    status: str
    why: str = ""
    terms: dict[str, dict[str, Any]] = {}


class Verdict(Reading):
    """Which model was released, under what promises, and why not the others."""

    released: str | None
    reason: str = ""
    contract: dict[str, float] = {}
    candidates: list[Candidate] = []


def understood(found: Any, kind: type[T], name: str) -> T:
    """Plain values as a thing with fields; another shape is said to be one."""
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError:
        raise Unreadable("unreadable.shape", file=name) from None
