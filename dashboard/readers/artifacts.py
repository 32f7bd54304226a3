"""Read a use case's artifacts into typed models and data frames; a missing or malformed file raises `Unreadable`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard.readers import project_files
from dashboard.readers.artifact_models import DataQualityReport, Latency, Metrics, T, Table, Verdict, parse_as
from dashboard.readers.project_files import Unreadable
from dashboard.readers.report_models import SeedReport
from tasks.core.compression import DENSE
from tasks.core.stage_context import SEEDS_FOLDER

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame
MAX_TEXT_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Artifacts:
    """One use case's artifacts in a run folder or the project folder. Every method that reads may raise `Unreadable`."""

    root: Path
    folder: Path
    use_case: str

    @property
    def use_case_folder(self) -> Path:
        return self.folder / "data" / project_files.slug(self.use_case)

    def recipes(self) -> list[str]:
        """The evaluated recipes, dense first."""
        folder = self.use_case_folder / "evaluations"
        try:
            names = sorted(path.name for path in folder.iterdir() if project_files.SLUG.fullmatch(path.name) and path.is_dir())
        except OSError:
            return []
        return sorted((name for name in names if name != SEEDS_FOLDER), key=lambda name: name != DENSE)

    def of_recipe(self, artifact: str, recipe: str) -> str:
        """The folder of a recipe's artifact, such as `evaluations/int8`; with several seeds, that of the chosen seed."""
        return f"{self.of_seed(artifact)}/{project_files.slug(recipe)}"

    def of_seed(self, artifact: str) -> str:
        """The folder of an artifact of all recipes; with several seeds, that of the chosen seed in it."""
        try:
            seed = self.seed_report().additional
        except Unreadable:
            seed = None
        return "/".join([artifact, *([] if seed is None else [SEEDS_FOLDER, str(seed)])])

    def seed_report(self) -> SeedReport:
        return self._read("release/seeds.json", SeedReport)

    @property
    def has_seeds(self) -> bool:
        """Whether the release compares several seeds."""
        return (self.use_case_folder / "release" / "seeds.json").is_file()

    def classic_models(self) -> list[str]:
        """The measured classic models, whose metrics stand with dense's; none where these cannot be read."""
        try:
            return [name for name in self._dense().classic if project_files.SLUG.fullmatch(name)]
        except Unreadable:
            return []

    def models(self) -> list[str]:
        """All models with metrics, predictions and a file: the recipes, dense first, then the classic models."""
        recipes = self.recipes()
        return [*recipes, *(name for name in self.classic_models() if name not in recipes)]

    def model_file(self, name: str) -> str:
        """The path of a recipe's or classic model's file, for `file`."""
        classic = name in self.classic_models()
        folder = f"baselines/{project_files.slug(name)}" if classic else self.of_recipe("compressed", name)
        return f"{folder}/model.onnx"

    def _dense(self) -> Metrics:
        return self._read(f"{self.of_recipe('evaluations', DENSE)}/metrics.json", Metrics)

    def quality_report(self) -> DataQualityReport:
        return self._read("clean/ledger.json", DataQualityReport)

    def metrics(self, recipe: str) -> Metrics:
        """The metrics of a recipe, or of a classic baseline, which stand with dense's."""
        if recipe != DENSE and recipe not in self.recipes():
            try:
                classic = self.metrics(DENSE).classic.get(recipe)
            except Unreadable:
                classic = None
            if classic:
                return parse_as(classic, Metrics, "metrics.json")
        return self._read(f"{self.of_recipe('evaluations', recipe)}/metrics.json", Metrics)

    def latency(self) -> Latency:
        """The latencies of all models, timed in turn.

        Before version 0.5 each recipe was timed in its evaluation, together with dense; the files of all recipes are joined then.
        """
        try:
            return self._read(f"{self.of_seed('latency')}/latency.json", Latency)
        except Unreadable:
            evaluated = [recipe for recipe in self.recipes() if self._timed_by_evaluation(recipe)]
            if DENSE not in evaluated:
                raise
        dense, *others = [self._read(f"{self.of_recipe('evaluations', recipe)}/latency.json", Latency) for recipe in evaluated]
        own = {
            recipe: file.variants[recipe] for recipe, file in zip(evaluated[1:], others, strict=True) if recipe in file.variants
        }
        return dense.model_copy(update={"variants": {**dense.variants, **own}})

    def _timed_by_evaluation(self, recipe: str) -> bool:
        return (self.use_case_folder / self.of_recipe("evaluations", recipe) / "latency.json").is_file()

    def verdict(self) -> Verdict:
        return self._read("release/verdict.json", Verdict)

    def released(self) -> str | None:
        """The released recipe; None when nothing was released or the verdict cannot be read."""
        try:
            return self.verdict().released
        except Unreadable:
            return None

    def table(self) -> Table:
        return self._read("release/table.json", Table)

    def card(self) -> str:
        """The model card as Markdown, without its front matter."""
        text = self.read_text("release/card.md")
        return text.partition("\n---\n")[2] if text.startswith("---\n") else text

    def report(self, stage_folder: str) -> dict[str, Any]:
        """report.json of a stage's folder: raw, augmented, model, or compressed/<recipe>."""
        return project_files.read_object(self.root, self.use_case_folder / stage_folder / "report.json")

    def read_text(self, name: str) -> str:
        """The content of a text file."""
        path = self.use_case_folder / name
        try:
            real = project_files.inside(self.root, path)
            if real.stat().st_size > MAX_TEXT_BYTES:
                raise Unreadable("unreadable.large", file=path.name, most="2 MB")
            project_files.check_artifact(self.root, path)
            return real.read_text(encoding="utf-8", errors="replace")
        except OSError:
            raise Unreadable("unreadable.missing", file=path.name) from None

    def file(self, name: str) -> Path:
        """The checked path of a file, such as a model."""
        path = project_files.inside(self.root, self.use_case_folder / name)
        if not path.is_file():
            raise Unreadable("unreadable.missing", file=path.name)
        project_files.check_artifact(self.root, self.use_case_folder / name)
        return path

    def rows(self, name: str, columns: Sequence[str] | None = None, where: Sequence[tuple[str, str, Any]] = ()) -> DataFrame:
        """A partitioned table such as `clean/rows`; missing `columns` are left out. The frame is cached: do not modify it."""
        parts = tuple(sorted((self.use_case_folder / name).glob("part-*.parquet")))
        if not parts:
            raise Unreadable("unreadable.missing", file=f"{name}/part-*.parquet")
        for part in parts:
            project_files.check_artifact(self.root, part)
        versions = tuple((project_files.inside(self.root, part), part.stat().st_mtime_ns) for part in parts)
        return _read_parts(versions, tuple(columns) if columns else None, tuple((a, b, _hashable(c)) for a, b, c in where))

    def rows_with_columns(self, name: str, needed: Iterable[str], where: Sequence[tuple[str, str, Any]] = ()) -> DataFrame:
        """The same; the columns `needed` must exist."""
        return require_columns(self.rows(name, None, where), needed, name)

    def columns(self, name: str) -> list[str]:
        """Column names of a partitioned table."""
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        parts = sorted((self.use_case_folder / name).glob("part-*.parquet"))
        if not parts:
            raise Unreadable("unreadable.missing", file=f"{name}/part-*.parquet")
        try:
            project_files.check_artifact(self.root, parts[0])
            return list(pq.read_schema(project_files.inside(self.root, parts[0])).names)
        except (ArrowException, OSError):
            raise Unreadable("unreadable.damaged", file=parts[0].name) from None

    def predictions(self, recipe: str, split: str, needed: Iterable[str] = (), numbers: Iterable[str] = ()) -> DataFrame:
        """The predictions of a split, one per row in stored order; never empty, and with the columns `needed`."""
        if recipe in self.classic_models():
            name = f"{self.of_recipe('evaluations', DENSE)}/baselines/{project_files.slug(recipe)}/predictions"
        else:
            name = f"{self.of_recipe('evaluations', recipe)}/predictions"
        rows = require_columns(self.rows(name), needed, name, numbers)
        chosen = rows[rows["split"] == split] if "split" in rows else rows
        if chosen.empty:
            raise Unreadable("unreadable.empty", file=name, split=split)
        return chosen.reset_index(drop=True)

    def probabilities(self, recipe: str, split: str, classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Predicted probabilities (N, K) of a split, and the labels (N,)."""
        predictions = self.predictions(recipe, split, ("label", "probabilities"))
        probabilities = [each for each in predictions["probabilities"] if np.shape(each) == (len(classes),)]
        if len(probabilities) < len(predictions):
            raise Unreadable("unreadable.shape", file=f"{recipe}/predictions")
        return np.stack(probabilities).astype(np.float64), predictions["label"].to_numpy()

    def _read(self, name: str, kind: type[T]) -> T:
        path = self.use_case_folder / name
        return parse_as(project_files.read_json(self.root, path), kind, path.name)


def require_columns(table: DataFrame, needed: Iterable[str], name: str, numbers: Iterable[str] = ()) -> DataFrame:
    """The table itself; raises `Unreadable` if a column is missing or one of `numbers` is not numeric."""
    wrong = [column for column in (*needed, *numbers) if column not in table]
    wrong += [column for column in numbers if column in table and table[column].dtype.kind not in "iuf"]
    if wrong:
        raise Unreadable("unreadable.column", column=min(wrong), file=name)
    return table


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | set) else value


@lru_cache(maxsize=24)
def _read_parts(
    parts: tuple[tuple[Path, int], ...], columns: tuple[str, ...] | None, where: tuple[tuple[str, str, Any], ...]
) -> DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    frames = []
    for part, _ in parts:
        try:
            available = pq.read_schema(part).names
            present = [name for name in columns if name in available] if columns else None
            filters = [(name, how, list(value) if isinstance(value, tuple) else value) for name, how, value in where] or None
            frames.append(pq.read_table(part, columns=present, filters=filters).to_pandas())
        except (ArrowException, OSError):
            raise Unreadable("unreadable.damaged", file=part.name) from None
    return pd.concat(frames, ignore_index=True)
