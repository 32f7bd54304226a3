"""A question to a model, read as the pipeline reads its data: a sentence or a file becomes rows, rows become answers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from dashboard.readers import onnx_models
from dashboard.readers.onnx_models import Model
from tasks.cleaning import deduplication
from tasks.cleaning.partitions import schema_errors
from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.use_case import UseCase

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["picture", "sentence", "table"]
MOST_ROWS = 5000
"""Rows of a file that are asked about; more belong into a run."""
MOST_WORDS = 120
"""Words of a text that are left out one after the other."""
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file after the use case's own rules: rows that can be asked about, and what is wrong with the others."""

    rows: pd.DataFrame
    faults: pd.DataFrame
    """file, row, reason."""
    read: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and what it was worth for the answer: by how much its probability falls without it."""

    text: str
    weight: float = 0.0


def case_of(root: Path, folder: Path, name: str) -> UseCase:
    """The use case as the run's own params.yaml has it; raises `UserError`."""
    own = folder / "params.yaml"
    return params_file.build_use_case(name, params_file.read_params(own if own.exists() else root / "params.yaml"))


def kind(case: UseCase) -> Kind:
    """What a person gives to ask: by the columns of its rows."""
    columns = case.Schema.to_schema().columns
    return "picture" if "image" in columns else "sentence" if TEXT in columns else "table"


def sentence(case: UseCase, text: str, model: Model) -> pd.DataFrame:
    """One row that holds the text, mended as cleaning mends it; raises `UserError` where cleaning would reject it."""
    blank: dict[str, Any] = dict.fromkeys(case.Schema.to_schema().columns, "")
    label = case.problem.label_column
    known = {label: model.classes[0]} if label and model.classes else {}
    judged = case.clean_partition(pd.DataFrame([{**blank, **known, TEXT: text, "file": "", "row": 0}]))
    if fault := str(judged["fault"].iloc[0]):
        raise UserError(fault)
    return judged.assign(file="", row=0)


def from_file(case: UseCase, content: bytes, name: str) -> Checked:
    """The rows of an uploaded table by the rules and the schema of `clean`; raises `UserError` where it cannot be read."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"upload{''.join(Path(name).suffixes[-2:])[:20]}"
        path.write_bytes(content)
        fetch = replace(case.fetch, source="path", dataset="", path=str(path), fingerprint="", limit=0)
        asked = replace(case, fetch=fetch)
        try:
            raw = _some(asked)
        except UserError as mistake:
            raise UserError(str(mistake).replace(str(path), Path(name).name)) from None
    raw["file"] = Path(name).name
    schema = asked.schema(raw)
    columns = list(schema.columns)
    judged = asked.clean_partition(raw)[[*columns, "fault", "fix"]].assign(file=raw["file"].to_numpy(), row=raw["row"].to_numpy())
    good = judged["fault"] == ""
    if good.any():
        judged.loc[good, "fault"] = schema_errors(case, judged.loc[good, columns], schema).reindex(judged.index[good]).fillna("")
    judged, rows = deduplication.apply_clean_table(asked, judged.reset_index(drop=True))
    faults = judged.loc[judged["fault"] != "", ["file", "row", "fault"]].rename(columns={"fault": "reason"})
    for learnt in [column for column in rows.columns if column not in judged.columns and rows[column].dtype == object]:
        rows = rows[rows[learnt].notna()]  # such as the past of a day that has none yet
    return Checked(rows.reset_index(drop=True), faults.reset_index(drop=True), len(raw))


def _some(case: UseCase) -> pd.DataFrame:
    blocks: list[pd.DataFrame] = []
    for block in case.load():
        blocks.append(block)
        if sum(map(len, blocks)) >= MOST_ROWS:
            break
    if not blocks:
        raise UserError("the file holds no rows")
    return pd.concat(blocks, ignore_index=True).head(MOST_ROWS)


def encoded(case: UseCase, model: Model, rows: pd.DataFrame) -> NDArray[Any]:
    """The rows as the model takes them (N, ...)."""
    inputs, _ = case.encode(rows, model.learnt)
    return inputs


def answers(case: UseCase, model: Model, rows: pd.DataFrame) -> pd.DataFrame:
    """What the model says of each row, in the words of the use case."""
    problem = case.problem_of(model.learnt)
    return problem.decode(rows, model.outputs(encoded(case, model, rows)), model.learnt).reset_index(drop=True)


def pieces(text: str) -> list[str]:
    """A text as words and what stands between them; together they are the text."""
    return re.findall(r"\w+|[^\w]+", text)


def spoke_for(case: UseCase, model: Model, row: pd.DataFrame, answer: int) -> list[Piece]:
    """What each word of a row's text was worth for class `answer`: the probability lost when it is left out.

    Leave-one-out occlusion (Li, Monroe and Jurafsky 2016, arXiv 1612.08220): needs nothing but the shipped file.
    """
    parts = pieces(str(row[TEXT].iloc[0]))
    words = [at for at, part in enumerate(parts) if part[:1].isalnum()][:MOST_WORDS]
    without = ["".join(part for place, part in enumerate(parts) if place != at) for at in words]
    asked = pd.concat([row, *[row] * len(words)], ignore_index=True)
    asked[TEXT] = [str(row[TEXT].iloc[0]), *without]
    shares = onnx_models.shares(model.outputs(encoded(case, model, asked)))[:, answer]
    worth = dict(zip(words, (shares[0] - shares[1:]).tolist(), strict=True))
    return [Piece(part, worth.get(at, 0.0)) for at, part in enumerate(parts)]


def columns_of(case: UseCase, rows: pd.DataFrame) -> list[str]:
    """The columns of a table that are its own, not the use case's: none where all are fixed."""
    return [name for name in case.schema(rows).columns if name not in case.Schema.to_schema().columns]


def columns_that_spoke(case: UseCase, model: Model, rows: pd.DataFrame, at: int) -> pd.DataFrame:
    """What each column of row `at` was worth for its answer: the probability lost when it holds what is usual in `rows`.

    The usual is the middle number or the commonest word. Columns `column`, `value` and `usual` as text, and `worth`, the
    strongest first; those that hold the usual anyway are left out, and so is all of a table whose columns are fixed.
    Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901), column by column.
    """
    row, usual = rows.iloc[[at]], {name: _usual(rows[name]) for name in columns_of(case, rows)}
    asked = {name: row.assign(**{name: value}) for name, value in usual.items() if str(row[name].iloc[0]) != str(value)}
    said = answers(case, model, pd.concat([row, *asked.values()], ignore_index=True))
    answer = list(said["classes"].iloc[0]).index(said["predicted"].iloc[0])
    shares = np.stack(said["probabilities"].to_list())[:, answer].astype(float)
    told = [
        (name, str(row[name].iloc[0]), str(usual[name]), shares[0] - left) for name, left in zip(asked, shares[1:], strict=True)
    ]
    frame = pd.DataFrame(told, columns=["column", "value", "usual", "worth"])
    return frame.sort_values("worth", key=abs, ascending=False, ignore_index=True)


def _usual(values: pd.Series[Any]) -> Any:
    """The middle one of numbers, the commonest of words."""
    known = values.dropna()
    if known.empty:
        return values.iloc[0]
    if pd.api.types.is_numeric_dtype(known):
        return known.sort_values().iloc[len(known) // 2]
    return known.mode().iloc[0]


def kept(text: str, weights: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """A text with the weights that were kept with its prediction: {start, end, weight} for some of its words."""
    found, at = [], 0
    for one in sorted(weights, key=lambda each: int(each["start"])):
        start, end = int(one["start"]), int(one["end"])
        if not at <= start < end <= len(text):
            continue  # lies on the one before, or outside
        found += [Piece(text[at:start]), Piece(text[start:end], float(one["weight"]))]
        at = end
    return [piece for piece in [*found, Piece(text[at:])] if piece.text]


def marked(text: str, tags: str) -> list[tuple[str, str]]:
    """A text cut where names begin and end, each part with its kind, "" between them; `tags` holds an IOB2 tag for each word."""
    found: list[tuple[str, str]] = []
    inside = ""
    given = tags.split()
    for place, word in enumerate(text.split()):
        mark, _, kind = (given[place] if place < len(given) else "O").partition("-")
        if found and (kind == inside if mark == "I" else not kind and not inside):
            found[-1] = (f"{found[-1][0]} {word}", kind)
        else:
            found.append((word, kind))
        inside = kind
    apart: list[tuple[str, str]] = []
    for part, kind in found:
        apart += [(" ", "")] if apart else []
        apart.append((part, kind))
    return apart


def strongest(found: Sequence[Piece]) -> float:
    """The largest weight, up or down, for which the colour is full."""
    return float(np.abs([piece.weight for piece in found]).max(initial=1e-9))
