"""A toy use case for the tests of compress, evaluate and release: is the bar in an 8 x 8 image horizontal or vertical?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from tasks.core.compression import CompressionContext
from tasks.core.problem import Problem
from tasks.core.settings import Clean, Contract, Fetch, Model, Training
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Checkpoint, Table
from tasks.core.storage.atomic_files import write_json
from tasks.core.use_case import UseCase
from tasks.models.vision.cnn import Cnn

NAMES = ("lies", "stands")


class RecordingEventLog:
    """An event log that keeps its messages in memory."""

    def __init__(self, stage: str = "compress@bars") -> None:
        self.stage = stage
        self.messages: list[str] = []

    def log(self, message: str, level: str = "info") -> None:
        self.messages.append(message)

    def progress(self, done: int, total: int, unit: str) -> None:
        pass

    def metric(self, step: int, **values: float) -> None:
        pass

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        pass


class BarClassification(Problem):
    label_column = "label"

    def loss(self, outputs: Any, targets: Any, training: Any) -> Any:
        return torch.nn.functional.cross_entropy(outputs, targets)

    def decode(self, rows: Any, outputs: Any, state: Any) -> Any:
        return rows[["label"]].assign(predicted=np.array(state["classes"])[outputs.argmax(1)], surest=outputs.max(1))

    def metrics(self, predictions: Any) -> Any:
        return {"accuracy": float(self.per_row_metric(predictions).mean())}

    def per_row_metric(self, predictions: Any) -> Any:
        return (predictions["label"] == predictions["predicted"]).to_numpy(np.float64)

    def report(self, predictions: Any) -> Any:
        return {"classes": list(NAMES)}

    def baselines(self, train: Any, rows: Any, encode: Any, state: Any) -> Any:
        return {"majority": rows[["label"]].assign(predicted=train["label"].mode()[0])}


@dataclass(frozen=True)
class Bars(UseCase):
    fetch: Any = field(default_factory=Fetch)
    clean: Any = field(default_factory=Clean)
    augment: Any = None
    model: Any = field(default_factory=Model)
    training: Any = field(default_factory=lambda: Training(epochs=4, batch_size=32, learning_rate=0.01, precision="fp32"))
    contract: Any = field(default_factory=lambda: Contract(max_drop=0.2, min_speedup=0.01, max_size_share=1.0))

    summary: ClassVar[str] = "Does the bar in an 8 x 8 picture lie or stand?"
    unique_key: ClassVar[tuple[str, ...]] = ("pixels",)
    problem: ClassVar[Problem] = BarClassification()

    name: ClassVar[str] = "vision"
    """The use case whose architectures it takes."""

    def load(self) -> Any:
        raise NotImplementedError

    def clean_partition(self, rows: Any) -> None:
        raise NotImplementedError

    def fit_preprocessing(self, rows: Any) -> Any:
        return {"classes": list(NAMES)}

    def encode(self, rows: Any, state: Any) -> Any:
        pixels = np.stack([np.frombuffer(content, np.uint8).reshape(1, 8, 8) for content in rows["pixels"]])
        return pixels, np.array([state["classes"].index(label) for label in rows["label"]], dtype=np.int64)

    def build_model(self, state: Any) -> Any:
        return Cnn(side=8, classes=2, widths=(16, 16, 16))

    def build_student(self, state: Any, width_share: Any) -> Any:
        return Cnn(side=8, classes=2, widths=tuple(round(16 * width_share) for _ in range(3)))


def rows(count: int = 300, seed: int = 0) -> pd.DataFrame:
    """Images of bars in noise; one label in ten of the train split is wrong, so that no network fits all rows."""
    generator = np.random.default_rng(seed)
    stands = generator.integers(0, 2, count).astype(bool)
    pictures = generator.integers(0, 90, (count, 8, 8), dtype=np.uint8)
    for picture, upright, place in zip(pictures, stands, generator.integers(0, 8, count), strict=True):
        picture[(slice(None), place) if upright else (place, slice(None))] += 120
    splits = np.array(["train", "validation", "test"])[np.digitize(np.arange(count) / count, [0.5, 0.75])]
    labels = np.where(stands ^ ((splits == "train") & (generator.random(count) < 0.1)), NAMES[1], NAMES[0])
    table = pd.DataFrame({"pixels": [picture.tobytes() for picture in pictures], "label": labels, "split": splits})
    return table.assign(file="bars.csv", row=np.arange(count))


def compression_context(folder: Path, **changes: Any) -> CompressionContext:
    """A compression context with the rows of the toy use case."""
    case, table, state = Bars(), rows(), {"classes": list(NAMES)}
    (inputs, targets), (validation_inputs, validation_targets) = (
        case.encode(table[table["split"] == split], state) for split in ("train", "validation")
    )
    values = {
        "case": case,
        "state": state,
        "inputs": inputs,
        "targets": targets,
        "validation_inputs": validation_inputs,
        "validation_targets": validation_targets,
        "score": lambda outputs: float((outputs.argmax(1) == validation_targets).mean()),
        "event_log": RecordingEventLog(),
        "scratch": folder / "scratch",
    }
    return CompressionContext(**{**values, **changes})


def stage_context(root: Path, stage: str, recipe_name: str = "", recipe: tuple[Any, ...] = (), **settings: Any) -> StageContext:
    """A stage context of the toy use case; writes its clean rows and fitted network where they are missing."""
    event_log: Any = RecordingEventLog(f"{stage}@bars-{recipe_name or 'all'}")
    names = ("dense", "int8")
    context = StageContext(
        name="bars",
        case=Bars(**settings),
        event_log=event_log,
        recipe_name=recipe_name,
        recipe=recipe,
        root=root,
        recipe_names=names,
    )
    if not context.clean.path.exists():
        with context.clean.draft() as draft:
            Table(draft / "rows").write(0, rows())
        with context.augmented.draft() as draft:
            Table(draft / "rows").write(0, rows().head(0))
        with context.baselines.draft() as draft:
            write_json(draft / "report.json", {"baselines": [], "note": ""})
        with context.model.draft() as draft:
            Checkpoint(draft, "vision").write(fitted_network(), {"classes": list(NAMES)})
    return context


def fitted_network() -> torch.nn.Module:
    """The fitted network of the toy use case."""
    from tasks.training import trainer

    case, table = Bars(), rows()
    inputs, targets = case.encode(table[table["split"] == "train"], {"classes": list(NAMES)})
    torch.manual_seed(0)
    return trainer.fit(
        case.build_model({}),
        inputs,
        targets,
        objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
        training=case.training,
    ).network
