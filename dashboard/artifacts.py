"""What a use case's stages left in a workspace, read into things with fields; what is missing or malformed is a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dashboard import home
from dashboard.home import Unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

DENSE = "dense"
EAGER = "eager PyTorch"
SPLITS = ("test", "validation")
MAX_TEXT_BYTES = 2_000_000

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


class Ledger(Reading):
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


class Appraisal(Reading):
    """How well one model answers the rows of one split."""

    rows: int
    scores: dict[str, float | None]
    first: str
    interval: Interval
    report: dict[str, Any] = {}

    @property
    def value(self) -> float | None:
        return self.scores.get(self.first)


class Rival(Reading):
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
    splits: dict[str, Appraisal]
    baselines: dict[str, dict[str, Rival]] = {}
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


@dataclass(frozen=True, slots=True)
class Artifacts:
    """One use case's artifacts in one workspace: a run's folder or the project's own. Every reading may raise `Unreadable`."""

    root: Path
    folder: Path
    use_case: str

    @property
    def place(self) -> Path:
        return self.folder / "data" / home.slug(self.use_case)

    def recipes(self) -> list[str]:
        """The recipes that were evaluated, dense first."""
        folder = self.place / "evaluations"
        try:
            found = sorted(path.name for path in folder.iterdir() if home.SLUG.fullmatch(path.name) and path.is_dir())
        except OSError:
            return []
        return sorted(found, key=lambda name: name != DENSE)

    def ledger(self) -> Ledger:
        return self._read("clean/ledger.json", Ledger)

    def metrics(self, recipe: str) -> Metrics:
        return self._read(f"evaluations/{home.slug(recipe)}/metrics.json", Metrics)

    def latency(self, recipe: str) -> Latency:
        return self._read(f"evaluations/{home.slug(recipe)}/latency.json", Latency)

    def verdict(self) -> Verdict:
        return self._read("release/verdict.json", Verdict)

    def table(self) -> Table:
        return self._read("release/table.json", Table)

    def card(self) -> str:
        """The release's model card: Markdown after its front matter."""
        text = self.words("release/card.md")
        return text.partition("\n---\n")[2] if text.startswith("---\n") else text

    def report(self, stage_folder: str) -> dict[str, Any]:
        """A stage's report.json: raw, augmented, model, or compressed/<recipe>."""
        return home.read_object(self.root, self.place / stage_folder / "report.json")

    def learnt(self) -> dict[str, Any]:
        """What the model learnt of its train rows: class names, sizes."""
        found = home.read_object(self.root, self.place / "model" / "config.json").get("learnt")
        return found if isinstance(found, dict) else {}

    def words(self, name: str) -> str:
        path = self.place / name
        try:
            real = home.inside(self.root, path)
            if real.stat().st_size > MAX_TEXT_BYTES:
                raise Unreadable("unreadable.large", file=path.name, most="2 MB")
            return real.read_text(encoding="utf-8", errors="replace")
        except OSError:
            raise Unreadable("unreadable.missing", file=path.name) from None

    def file(self, name: str) -> Path:
        """A whole file for somebody else to read, such as a model."""
        path = home.inside(self.root, self.place / name)
        if not path.is_file():
            raise Unreadable("unreadable.missing", file=path.name)
        return path

    def rows(self, name: str, columns: Sequence[str] | None = None, where: Sequence[tuple[str, str, Any]] = ()) -> DataFrame:
        """A partitioned table such as `clean/rows`; `columns` that are not there are left out. Shared: not to be changed."""
        parts = tuple(sorted((self.place / name).glob("part-*.parquet")))
        if not parts:
            raise Unreadable("unreadable.missing", file=f"{name}/part-*.parquet")
        versions = tuple((home.inside(self.root, part), part.stat().st_mtime_ns) for part in parts)
        return _frame(versions, tuple(columns) if columns else None, tuple((a, b, _frozen(c)) for a, b, c in where))

    def whole_rows(self, name: str, needed: Iterable[str], where: Sequence[tuple[str, str, Any]] = ()) -> DataFrame:
        """The same, of a table that must have those columns."""
        return holding(self.rows(name, None, where), needed, name)

    def columns(self, name: str) -> list[str]:
        """The columns of a partitioned table."""
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        parts = sorted((self.place / name).glob("part-*.parquet"))
        if not parts:
            raise Unreadable("unreadable.missing", file=f"{name}/part-*.parquet")
        try:
            return list(pq.read_schema(home.inside(self.root, parts[0])).names)
        except (ArrowException, OSError):
            raise Unreadable("unreadable.damaged", file=parts[0].name) from None

    def predictions(self, recipe: str, split: str, needed: Iterable[str] = (), numbers: Iterable[str] = ()) -> DataFrame:
        """One prediction per row of a split, in the order they were made: at least one, with the columns that are needed."""
        name = f"{home.slug(recipe)}/predictions"
        found = holding(self.rows(f"evaluations/{name}"), needed, name, numbers)
        chosen = found[found["split"] == split] if "split" in found else found
        if chosen.empty:
            raise Unreadable("unreadable.empty", file=name, split=split)
        return chosen.reset_index(drop=True)

    def probabilities(self, recipe: str, split: str, classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """What was said of each row of a split, (N, K), and the labels (N,)."""
        predictions = self.predictions(recipe, split, ("label", "probabilities"))
        said = [each for each in predictions["probabilities"] if np.shape(each) == (len(classes),)]
        if len(said) < len(predictions):
            raise Unreadable("unreadable.shape", file=f"{recipe}/predictions")
        return np.stack(said).astype(np.float64), predictions["label"].to_numpy()

    def _read(self, name: str, kind: type[T]) -> T:
        path = self.place / name
        return understood(home.read_json(self.root, path), kind, path.name)


def understood(found: Any, kind: type[T], name: str) -> T:
    """Plain values as a thing with fields; another shape is said to be one."""
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError:
        raise Unreadable("unreadable.shape", file=name) from None


def holding(found: DataFrame, needed: Iterable[str], name: str, numbers: Iterable[str] = ()) -> DataFrame:
    """The table, if it has those columns, some of them with numbers."""
    wrong = [column for column in (*needed, *numbers) if column not in found]
    wrong += [column for column in numbers if column in found and found[column].dtype.kind not in "iuf"]
    if wrong:
        raise Unreadable("unreadable.column", column=min(wrong), file=name)
    return found


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | set) else value


@lru_cache(maxsize=24)
def _frame(
    parts: tuple[tuple[Path, int], ...], columns: tuple[str, ...] | None, where: tuple[tuple[str, str, Any], ...]
) -> DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    frames = []
    for part, _ in parts:
        try:
            there = pq.read_schema(part).names
            wanted = [name for name in columns if name in there] if columns else None
            filters = [(name, how, list(value) if isinstance(value, tuple) else value) for name, how, value in where] or None
            frames.append(pq.read_table(part, columns=wanted, filters=filters).to_pandas())
        except (ArrowException, OSError):
            raise Unreadable("unreadable.damaged", file=part.name) from None
    return pd.concat(frames, ignore_index=True)
