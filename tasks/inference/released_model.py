"""A released model with the rules of its use case: raw inputs in, answers out.

from tasks.inference.released_model import load_release

model = load_release("data/vision/release")
model.predict([Path("seven.png").read_bytes()])  # [{"predicted": "7", "confidence": 0.99, ...}]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact
from tasks.core.use_case import UseCase
from tasks.inference.checked_rows import CheckedRows, InputKind, check_rows, input_kind, needs_other_rows
from tasks.inference.loaded_model import LoadedModel, load_model

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

SETTINGS = "settings.json"
"""The file of a release that holds the settings of its use case."""
MODEL = "model.onnx"
BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of some raw rows."""

    rows: DataFrame
    """One answer per valid row: file, row, and the columns of the answer."""
    rejected: DataFrame
    """The rows that the clean stage would quarantine: file, row, reason."""


@dataclass(frozen=True, slots=True)
class Block:
    """Valid rows as the model saw them."""

    rows: DataFrame
    """As `encode` takes them, with `file` and `row`."""
    inputs: Array
    """Encoded, (N, ...)."""
    outputs: Array
    """(N, ...)."""
    answers: DataFrame
    """One answer per row, with `file` and `row`."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The answers for some inputs, and what led to them."""

    answers: list[dict[str, Any]]
    """One per input, as `predict` gives them."""
    blocks: list[Block]
    """The valid rows; `row` is the position of the input, from 1."""


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """A loaded model and the use case whose rules prepare its inputs."""

    case: UseCase
    model: LoadedModel
    folder: Path

    @property
    def kind(self) -> InputKind:
        """What one input is: the bytes of a picture, a text, or a record of a table."""
        return input_kind(self.case)

    def predict(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer per input, plain JSON values; `{"error": reason}` for one that the clean stage would quarantine.

        Inputs are encoded pictures (bytes), texts (str), or records (mappings from column names to values). A use case whose
        rows need others, such as days of prices, gets all records of a series in one call; a record that lacks its past has
        an error. Raises a `UserError` for inputs of another kind.
        """
        return self.observe(inputs).answers

    def observe(self, inputs: Sequence[Any]) -> Observed:
        """The answers of `predict`, with the rows, encoded inputs and outputs that they come from."""
        if not len(inputs):
            return Observed([], [])
        checked = check_rows(self.case, self.case.unlabelled_rows(inputs, self.model.state))
        blocks, by_row = list(self.blocks(checked.rows)), dict[int, dict[str, Any]]()
        for block in blocks:
            records = to_records(block.answers.drop(columns=["file", "row"]))
            by_row |= dict(zip(block.answers["row"].tolist(), records, strict=True))
        rejected = zip(checked.rejected["row"].tolist(), checked.rejected["reason"].tolist(), strict=True)
        by_row |= {row: {"error": str(reason)} for row, reason in rejected}
        incomplete = {"error": "incomplete: other rows that it needs, such as earlier days, are missing"}
        return Observed([by_row.get(position, incomplete) for position in range(1, len(inputs) + 1)], blocks)

    def predict_path(self, path: Path) -> Iterator[Answers]:
        """The answers for a file or folder, block by block; raises a `UserError` when it cannot be read."""
        blocks = self.case.load_unlabelled(path, self.model.state)
        if needs_other_rows(self.case):
            import pandas as pd

            blocks = iter([pd.concat(list(blocks), ignore_index=True)])
        for raw in blocks:
            yield self._answers(check_rows(self.case, raw))

    def _answers(self, checked: CheckedRows) -> Answers:
        import pandas as pd

        tables = [block.answers for block in self.blocks(checked.rows)]
        rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["file", "row"])
        return Answers(rows, checked.rejected)

    def blocks(self, rows: DataFrame) -> Iterator[Block]:
        """Clean rows, with `file` and `row`, in blocks with their encoded inputs, outputs and answers."""
        for at in range(0, len(rows), BATCH_ROWS):
            yield self._block(rows.iloc[at : at + BATCH_ROWS].reset_index(drop=True))

    def _block(self, rows: DataFrame) -> Block:
        inputs, _ = self.case.encode(rows, self.model.state)
        outputs = self.model.outputs(inputs)
        answers = self.case.answer_table(rows, outputs, self.model.state)
        if own := [name for name in ("file", "row") if name in answers]:
            answers = answers.drop(columns=own)
        if reading := self.model.reading(outputs, inputs):
            classes = self.model.classes
            answers["abstains"] = reading.reasons
            answers["prediction_set"] = [
                [name for name, inside in zip(classes, row, strict=True) if inside] for row in reading.prediction_sets
            ]
        for name in ("file", "row"):
            answers[name] = rows[name].to_numpy()
        return Block(rows, inputs, outputs, answers)


def load_release(place: str | Path, *, project: Path | None = None, threads: int = 1) -> ReleasedModel:
    """The released model in a folder such as `data/vision/release`, its checksums verified.

    Where the folder has no settings of its own, as before version 0.4, those of params.yaml in `project` are taken. Raises a
    `UserError` for a folder without a released model.
    """
    folder = Path(place)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name that of a release, such as data/vision/release")
    Artifact(folder).open()
    if not (folder / MODEL).exists():
        raise UserError(f"{folder} holds no {MODEL}: {_reason(folder)}")
    model = load_model(folder / MODEL, threads)
    return ReleasedModel(_use_case(folder, model.use_case, project), model, folder)


def to_records(answers: DataFrame) -> list[dict[str, Any]]:
    """The answers as plain JSON values; `classes` and `probabilities` become one mapping, dates ISO 8601."""
    records = json.loads(answers.to_json(orient="records", date_format="iso", double_precision=9))
    for record in records:
        if classes := record.pop("classes", None):
            record["probabilities"] = dict(zip(classes, record["probabilities"], strict=True))
    return list(records)


def _use_case(folder: Path, name: str, project: Path | None) -> UseCase:
    settings = folder / SETTINGS
    if settings.exists():
        case: UseCase = registry.build("use_cases", name, json.loads(settings.read_text(encoding="utf-8")), str(settings))
        return case
    if project is None or not (project / "params.yaml").exists():
        raise UserError(
            f"{folder} has no {SETTINGS}; run the release stage again, or give the project whose params.yaml it was made with"
        )
    return params_file.build_use_case(name, params_file.read_params(project / "params.yaml"))


def _reason(folder: Path) -> str:
    try:
        return str(json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "the contract released no model"
