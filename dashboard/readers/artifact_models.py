"""Models of the JSON files that clean, evaluate and release write."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dashboard.readers.project_files import Unreadable

T = TypeVar("T")


class ArtifactModel(BaseModel):
    """Base of the models: unknown keys are ignored, missing ones are an error."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Interval(ArtifactModel):
    """An estimate with its confidence interval at `level`, and the number of rows it is computed from."""

    value: float
    low: float
    high: float
    rows: int = 0
    method: str = ""
    level: float = 0.95


class DataQualityReport(ArtifactModel):
    """Row counts of the clean stage by outcome, reason, split, class and file."""

    rows_in: int
    kept: int
    fixed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = {}
    fixes: dict[str, int] = {}
    remarks: dict[str, int] = {}
    """Rows kept with a remark, such as a missing value, by reason."""
    leaks: dict[str, int] = {}
    contradictions: int = 0
    near_duplicates: dict[str, int] = {}
    official_test: dict[str, int] = {}
    rare_classes: dict[str, int] = {}
    findings: list[str] = []
    """Sentences on all rows, such as a column that tells the label."""
    splits: dict[str, int] = {}
    classes: dict[str, dict[str, int]] = {}
    files: dict[str, dict[str, int]] = {}


class SplitMetrics(ArtifactModel):
    """Metrics of one model on one split."""

    rows: int
    scores: dict[str, float | None]
    first: str
    interval: Interval
    report: dict[str, Any] = {}

    @property
    def value(self) -> float | None:
        return self.scores.get(self.first)


class Baseline(ArtifactModel):
    """Metrics of one baseline on one split."""

    scores: dict[str, float | None]
    interval: Interval


class Gain(ArtifactModel):
    """The network's gain over a baseline with its confidence interval and the p-value of the test."""

    value: float
    low: float
    high: float
    p: float | None = None
    method: str = ""

    @property
    def test(self) -> str:
        """The method without the number that `p` holds."""
        return self.method if self.p is None else self.method.replace(f" p {self.p:.3f}", "")


class ClassChange(ArtifactModel):
    """The change of one class's share of correct rows, relative to the dense model."""

    name: str
    rows: int
    dense: float
    own: float
    drop: float
    low: float
    high: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> ClassChange:
        return cls(name=str(row["class"]), **{key: row[key] for key in ("rows", "dense", "own", "drop", "low", "high")})


class Flipped(ArtifactModel):
    """A row that only one of the two models predicts correctly, with the prediction of both."""

    side: Literal["lost", "won"]
    file: Any = None
    row: Any = None
    own: dict[str, Any] = {}
    dense: dict[str, Any] = {}


class Comparison(ArtifactModel):
    """A recipe compared with the dense model on the same rows (paired)."""

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
        return parse_as(self.flipped, list[Flipped], "metrics.json")


class Slice(ArtifactModel):
    """Rows with one value, or within one range, of a column, and what a recipe lost on them; `drop` and p-values on test rows."""

    slice: str
    column: str = ""
    rows: int
    dense: float
    own: float
    drop: Interval
    p: float
    adjusted_p: float


class Slices(ArtifactModel):
    """The slices on which a recipe is shown to be worse than dense, and the nearest to that."""

    candidates: int = 0
    tested: int = 0
    alpha: float = 0.05
    confirmed: list[Slice] = []
    nearest: list[Slice] = []


class Metrics(ArtifactModel):
    """metrics.json of one recipe."""

    recipe: str
    rows: dict[str, int] = {}
    bytes: int
    bytes_share: float
    parameters: int | None
    macs: int | None = 0
    """None for classic models."""
    splits: dict[str, SplitMetrics]
    baselines: dict[str, dict[str, Baseline]] = {}
    against_baselines: dict[str, dict[str, Any]] = Field(default={}, alias="against_rivals")
    against_dense: dict[str, Comparison] = {}
    classic: dict[str, dict[str, Any]] = {}
    """The metrics of the classic baselines that are candidates, of the same structure; only dense's file holds them."""
    robustness: dict[str, Any] = {}
    """Scores under corruptions and attacks; empty for use cases without them and in older files."""
    slices: Any = None
    """As `worse_slices` reads it; dense and older files have none."""

    @property
    def worse_slices(self) -> Slices | None:
        return None if self.slices is None else parse_as(self.slices, Slices, "metrics.json")

    def gains(self, split: str) -> dict[str, Gain]:
        """The network's gain over each baseline; only the dense model's metrics hold it."""
        return parse_as(self.against_baselines.get(split, {}).get("gains") or {}, dict[str, Gain], "metrics.json")


class Batch(ArtifactModel):
    """Latency at one batch size: median with its confidence interval, 95th percentile, and the median of each process."""

    median_ms: float
    low_ms: float = 0.0
    high_ms: float = 0.0
    p95_ms: float
    runs: int = 0
    process_medians_ms: list[float] = []


class Speedup(ArtifactModel):
    """Ratio of two latencies with its confidence interval and one-sided lower bound."""

    ratio: float
    low: float
    high: float
    at_least: float = 0.0
    process_ratios: list[float] = []
    verdict: str = ""


class Variant(ArtifactModel):
    """Latency and memory of one measured model."""

    batches: dict[str, Batch]
    speedup_over: dict[str, dict[str, Speedup]] = {}
    peak_memory_bytes: int | None = None
    load_s: float | None = None


class Latency(ArtifactModel):
    """latency.json: the files of all recipes and classic models, and the dense network under PyTorch."""

    machine: dict[str, Any] = {}
    threads: int = 1
    processes: int = 1
    rounds: int = 0
    variants: dict[str, Variant]


class Row(ArtifactModel):
    """One row of the release's table."""

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
    parameters: int | None = 0
    macs: int | None = 0
    latency_ms: dict[str, dict[str, float]] = {}
    speedup_over: dict[str, dict[str, Speedup]] = {}
    peak_memory_bytes: int | None = None
    status: str = ""
    chosen: bool = False
    kind: str = "recipe"
    """`recipe`, or `baseline` for a classic model."""


class Table(ArtifactModel):
    """The release's table: a row per recipe, and the baselines."""

    rows: Annotated[list[Row], Field(min_length=1)]
    baselines: list[dict[str, Any]] = []
    machine: dict[str, Any] = {}
    threads: int = 1


class Candidate(ArtifactModel):
    """One recipe, or classic baseline, in the release decision, with its status under the contract."""

    recipe: str
    status: str
    why: str = ""
    terms: dict[str, dict[str, Any]] = {}
    kind: str = "recipe"
    p: float | None = None
    adjusted_p: float | None = None
    tried: bool = True
    cost: float | None = None
    needs: dict[str, int] = {}


class Verdict(ArtifactModel):
    """The release decision: the verdict, the released recipe, the contract, and the status of every candidate."""

    verdict: str | None = None
    """Missing in older files."""
    released: str | None
    reason: str = ""
    contract: dict[str, Any] = {}
    decision: dict[str, Any] = {}
    candidates: list[Candidate] = []


def parse_as(value: Any, kind: type[T], name: str) -> T:
    """Validate plain values as `kind`; raises `Unreadable` where the structure differs."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        raise Unreadable("unreadable.shape", file=name) from None
