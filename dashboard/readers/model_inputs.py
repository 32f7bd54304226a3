"""Turn user input into validated rows by the use case's own rules, run a model on them, and explain its predictions."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dashboard.readers import onnx_models
from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.use_case import UseCase
from tasks.inference.checked_rows import CheckedRows, check_rows
from tasks.inference.loaded_model import LoadedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROWS = 5000
"""The most rows read of an uploaded file."""
MAX_WORDS = 120
"""The most words of a text that are occluded."""
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a text, and by how much the probability of the predicted class falls without it."""

    text: str
    weight: float = 0.0


def load_use_case(root: Path, folder: Path, name: str) -> UseCase:
    """The use case with the settings of the run's own params.yaml; raises `UserError`."""
    own = folder / "params.yaml"
    return params_file.build_use_case(name, params_file.read_params(own if own.exists() else root / "params.yaml"))


def row_from_text(case: UseCase, text: str, model: LoadedModel) -> pd.DataFrame:
    """One row with the text, repaired as in cleaning; raises `UserError` where cleaning would reject it."""
    blank: dict[str, Any] = dict.fromkeys(case.Schema.to_schema().columns, "")
    column = case.problem.label_column
    label = {column: model.classes[0]} if column and model.classes else {}
    cleaned = case.clean_partition(pd.DataFrame([{**blank, **label, TEXT: text, "file": "", "row": 0}]))
    if fault := str(cleaned["fault"].iloc[0]):
        raise UserError(fault)
    return cleaned.assign(file="", row=0)


def rows_from_file(case: UseCase, content: bytes, name: str, state: Mapping[str, Any]) -> CheckedRows:
    """Validate an uploaded table with the rules and the schema of `clean`; raises `UserError` if it cannot be read.

    `state` is the model's: where the use case infers the kind of the label from the data, the model's kind is taken.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"upload{''.join(Path(name).suffixes[-2:])[:20]}"
        path.write_bytes(content)
        changes: dict[str, Any] = {"source": "path", "dataset": "", "path": str(path), "fingerprint": "", "limit": 0}
        if hasattr(case.fetch, "target"):
            changes["target"] = "number" if predicts_numbers(state) else "classes"
        fetch = replace(case.fetch, **changes)
        uploaded = replace(case, fetch=fetch)
        try:
            raw = _first_rows(uploaded)
        except UserError as error:
            raise UserError(str(error).replace(str(path), Path(name).name)) from None
    raw["file"] = Path(name).name
    return check_rows(uploaded, raw)


def predicts_numbers(state: Mapping[str, Any]) -> bool:
    """Whether a model with this state predicts a number per row, not a class."""
    return state.get("problem") == "regression"


def _first_rows(case: UseCase) -> pd.DataFrame:
    blocks: list[pd.DataFrame] = []
    for block in case.load():
        blocks.append(block)
        if sum(map(len, blocks)) >= MAX_ROWS:
            break
    if not blocks:
        raise UserError("the file holds no rows")
    return pd.concat(blocks, ignore_index=True).head(MAX_ROWS)


def encode(case: UseCase, model: LoadedModel, rows: pd.DataFrame) -> NDArray[Any]:
    """The rows as model inputs (N, ...)."""
    inputs, _ = case.encode(rows, model.state)
    return inputs


def predict(case: UseCase, model: LoadedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """The model's prediction per row, decoded by the use case.

    For a model that may abstain, `abstains` says why it does (empty if not), and `prediction_set` holds the possible classes.
    """
    problem, inputs = case.problem_of(model.state), encode(case, model, rows)
    outputs = model.outputs(inputs)
    predictions = problem.decode(rows, outputs, model.state).reset_index(drop=True)
    reading = model.reading(outputs, inputs)
    if reading is None:
        return predictions
    sets = [[name for name, inside in zip(model.classes, row, strict=True) if inside] for row in reading.prediction_sets]
    return predictions.assign(abstains=reading.reasons, prediction_set=sets)


def split_words(text: str) -> list[str]:
    """The words of a text and the separators between them; joined, they are the text."""
    return re.findall(r"\w+|[^\w]+", text)


def word_contributions(case: UseCase, model: LoadedModel, row: pd.DataFrame, answer: int) -> list[Segment]:
    """Contribution of each word of a row's text to class `answer`: the probability lost when the word is removed.

    Leave-one-out occlusion (Li, Monroe and Jurafsky 2016, arXiv 1612.08220); needs only the ONNX file.
    """
    parts = split_words(str(row[TEXT].iloc[0]))
    words = [at for at, part in enumerate(parts) if part[:1].isalnum()][:MAX_WORDS]
    without = ["".join(part for place, part in enumerate(parts) if place != at) for at in words]
    variants = pd.concat([row, *[row] * len(words)], ignore_index=True)
    variants[TEXT] = [str(row[TEXT].iloc[0]), *without]
    shares = onnx_models.softmax(model.outputs(encode(case, model, variants)))[:, answer]
    weights = dict(zip(words, (shares[0] - shares[1:]).tolist(), strict=True))
    return [Segment(part, weights.get(at, 0.0)) for at, part in enumerate(parts)]


def free_columns(case: UseCase, rows: pd.DataFrame) -> list[str]:
    """The columns of a table that are not fixed by the use case's schema; empty where all are."""
    return [name for name in case.schema(rows).columns if name not in case.Schema.to_schema().columns]


def column_contributions(case: UseCase, model: LoadedModel, rows: pd.DataFrame, at: int) -> pd.DataFrame:
    """Contribution of each column of row `at` to its prediction: what is lost when the column takes its typical value in `rows`.

    The loss is that of the predicted class's probability, or of the predicted number. The typical value is the middle number
    or the most frequent category. Returns `column`, `value` and `usual` as text, and
    `worth`, the strongest first. Columns that already have the typical value are left out, and so are columns fixed by the
    use case's schema. Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901), column by column.
    """
    row, usual = rows.iloc[[at]], {name: _typical_value(rows[name]) for name in free_columns(case, rows)}
    variants = {name: row.assign(**{name: value}) for name, value in usual.items() if str(row[name].iloc[0]) != str(value)}
    predictions = predict(case, model, pd.concat([row, *variants.values()], ignore_index=True))
    if predicts_numbers(model.state):
        values = predictions["value"].to_numpy(float)
    else:
        answer = list(predictions["classes"].iloc[0]).index(predictions["predicted"].iloc[0])
        values = np.stack(predictions["probabilities"].to_list())[:, answer].astype(float)
    without = zip(variants, values[1:], strict=True)
    effects = [(name, str(row[name].iloc[0]), str(usual[name]), values[0] - value) for name, value in without]
    frame = pd.DataFrame(effects, columns=["column", "value", "usual", "worth"])
    return frame.sort_values("worth", key=abs, ascending=False, ignore_index=True)


def _typical_value(values: pd.Series[Any]) -> Any:
    """The middle value of numbers, the most frequent one of categories."""
    present = values.dropna()
    if present.empty:
        return values.iloc[0]
    if pd.api.types.is_numeric_dtype(present):
        return present.sort_values().iloc[len(present) // 2]
    return present.mode().iloc[0]


def with_stored_weights(text: str, weights: Sequence[Mapping[str, Any]]) -> list[Segment]:
    """A text with the weights stored with its prediction: {start, end, weight} for some of its words."""
    segments, at = [], 0
    for entry in sorted(weights, key=lambda each: int(each["start"])):
        start, end = int(entry["start"]), int(entry["end"])
        if not at <= start < end <= len(text):
            continue  # overlaps the previous one, or is outside of the text
        segments += [Segment(text[at:start]), Segment(text[start:end], float(entry["weight"]))]
        at = end
    return [piece for piece in [*segments, Segment(text[at:])] if piece.text]


def entity_segments(text: str, tags: str) -> list[tuple[str, str]]:
    """A text cut at entity boundaries, each segment with its entity type or ""; `tags` holds one IOB2 tag per word."""
    words: list[tuple[str, str]] = []
    inside = ""
    tags_by_word = tags.split()
    for place, word in enumerate(text.split()):
        mark, _, kind = (tags_by_word[place] if place < len(tags_by_word) else "O").partition("-")
        if words and (kind == inside if mark == "I" else not kind and not inside):
            words[-1] = (f"{words[-1][0]} {word}", kind)
        else:
            words.append((word, kind))
        inside = kind
    apart: list[tuple[str, str]] = []
    for part, kind in words:
        apart += [(" ", "")] if apart else []
        apart.append((part, kind))
    return apart


def largest_weight(pieces: Sequence[Segment]) -> float:
    """The largest absolute weight; it gets the full colour."""
    return float(np.abs([piece.weight for piece in pieces]).max(initial=1e-9))
