"""Who will not pay back? Tables of numbers and categories whose label is one of two, one of many, or a number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.settings import settings
from tasks.core.splits import row_keys, split_beside_source
from tasks.core.use_case import Corruption, InputRange, UseCase
from tasks.data.number_cells import NumberFormat
from tasks.metrics import binary_classification
from tasks.problems.binary_classification import BinaryClassification
from tasks.problems.regression import Regression
from tasks.use_cases.credit import column_types, corruptions, datasets, leaks, table_source
from tasks.use_cases.credit.settings import TableClean, TableFetch, TableModel, TableTraining
from tasks.use_cases.credit.table_classification import TableClassification
from tasks.use_cases.credit.table_source import CLASS, NUMBER, RESERVED_COLUMNS, SCHEMA_COLUMNS

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

USUAL_GROUPS = ("sex", "gender", "age")
KEPT_COLUMNS = ("file", "row", "split", "label", "groups")
PROBLEMS: dict[str, Problem] = {
    "binary": BinaryClassification(keep=KEPT_COLUMNS),
    "multiclass": TableClassification(keep=KEPT_COLUMNS),
    "regression": Regression(keep=KEPT_COLUMNS),
}
MAX_GROUP_CODE = 10
"""Whole numbers up to this in a column of `clean.groups` are codes, not ages."""
MIN_CATEGORY_ROWS = 10
"""The fewest train rows of a category's value that gets a code of its own."""

SLICE_COLUMNS, MAX_SLICE_VALUES = 5, 12
"""How many columns of numbers, and how many of categories, give slices, and the most values of such a category."""


@settings
class Credit(UseCase):
    fetch: TableFetch = Field(default_factory=TableFetch)
    clean: TableClean = Field(default_factory=TableClean)
    model: TableModel = Field(default_factory=TableModel)
    training: TableTraining = Field(default_factory=TableTraining)

    class Schema(pa.DataFrameModel):
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        label_kind: str = pa.Field(isin=[CLASS, NUMBER])
        alike: str = pa.Field(str_length=16)
        """A key of the features, without the label."""
        same: str = pa.Field(str_length=16)
        """A key of features and label, the same for exact duplicates."""
        groups: str
        """The groups of the fairness report, as "SEX=female; AGE=25-34"."""

    summary: ClassVar[str] = (
        "Who will not pay back? Tables of numbers and categories, told apart by a small network, with the cost of being wrong."
    )
    problem: ClassVar[Problem] = PROBLEMS["binary"]
    unique_key: ClassVar[tuple[str, ...]] = ("same",)

    def problem_of(self, state: PreprocessingState) -> Problem:
        """Binary classification of two labels, multi-class classification of more, regression of numbers."""
        return PROBLEMS[state.get("problem", "binary")]

    def label_column(self, rows: pd.DataFrame) -> str:
        """`label` where it names classes; numbers need not be in every split."""
        return "" if (rows["label_kind"] == NUMBER).any() else "label"

    def schema(self, rows: pd.DataFrame) -> pa.DataFrameSchema:
        """The columns of `Schema`, and those of the table: floats (NaN where missing) and text (empty where missing)."""
        number, category = pa.Column(float, nullable=True), pa.Column(str)
        columns = {name: number if kind == "number" else category for name, kind in self._column_kinds(rows).items()}
        columns |= {"subset": category} if "subset" in rows else {}
        return self.Schema.to_schema().add_columns(columns)

    def _column_kinds(self, rows: pd.DataFrame) -> dict[str, str]:
        """The kind of each feature column: of raw rows as `load` inferred it, of clean rows by dtype."""
        if "kinds" in rows:
            kinds: dict[str, str] = json.loads(rows["kinds"].iloc[0])
            return {name: kind for name, kind in kinds.items() if kind != "neither"}
        reserved = {*SCHEMA_COLUMNS, *RESERVED_COLUMNS}
        is_number = pd.api.types.is_float_dtype
        return {name: "number" if is_number(rows[name]) else "category" for name in rows.columns if name not in reserved}

    def load(self) -> Iterator[pd.DataFrame]:
        """Yield the raw rows of `table_source.read_rows`."""
        return table_source.read_rows(self.fetch)

    def check_head(self) -> None:
        """Raise a `UserError` for a source without tables, for a label that is not there, and for one with a single value."""
        table_source.check_head(self.fetch)

    def load_unlabelled(self, path: Path, state: PreprocessingState) -> Iterator[pd.DataFrame]:
        """The columns that the model reads, each of the kind that it had in training, with a label that the model knows."""
        return table_source.read_unlabelled(self.fetch, path, state)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Parse each cell by its column's kind; a row with an unreadable cell or without a label is invalid."""
        cells, fix = datasets.repair_known_errors(self.fetch.named_dataset, rows)
        forms = number_forms(rows)
        columns, fault = {}, pd.Series("", index=rows.index, dtype=object)
        for name, kind in self._column_kinds(rows).items():
            is_number = kind == NUMBER
            parse = (
                column_types.parse_numbers(cells[name], forms.get(name))
                if is_number
                else column_types.parse_categories(cells[name])
            )
            columns[name], error = parse
            first_error = (fault == "") & (error != "")
            fault[first_error] = error[first_error] + f": {name} " + cells.loc[first_error, name].astype(str).str[:40].map(repr)
            missing = columns[name].isna() if is_number else columns[name] == ""
            fix = fix.where(~missing | (error != ""), fix + f"; seen missing {name}")
        label, error = self._labels(rows)
        fault = fault.mask(label == "", "empty-label: the row has no label").mask(error != "", "unreadable-label")
        features = pd.DataFrame(columns, index=rows.index)
        alike = row_keys(features, tuple(features.columns))
        same = row_keys(pd.DataFrame({"alike": alike, "label": label, "who": self._who(rows)}), ("alike", "label", "who"))
        fixed = {"label": label, "label_kind": rows["label_kind"], "alike": alike, "same": same}
        fixed |= {"subset": rows["subset"]} if "subset" in rows else {}
        outcome = {"groups": self._groups(features), **columns, "fault": fault, "fix": fix.str.removeprefix("; ")}
        return pd.DataFrame({**fixed, **outcome}, index=rows.index)

    def _who(self, rows: pd.DataFrame) -> pd.Series:
        """What makes equal rows different ones: ids, or without any their places; nothing if `repeats` is `drop`."""
        if self.clean.repeats == "drop":
            return pd.Series("", index=rows.index, dtype=object)
        ids = json.loads(rows["ids"].iloc[0]) if "ids" in rows and self.clean.repeats == "auto" else []
        if ids:
            return row_keys(rows.assign(**{name: column_types.normalize_cells(rows[name]) for name in ids}), tuple(ids))
        return (rows["file"] + ":" + rows["row"].astype(str)).astype(object)

    def findings(self, rows: pd.DataFrame) -> list[str]:
        """Columns that tell the label alone, and rows in its order."""
        label = rows["label"] if self.label_column(rows) else rows["label"].astype(np.float64)
        return leaks.find_leaks(rows, self._column_kinds(rows), label)

    def _labels(self, rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """The labels as text, numbers in their shortest exact form, and the error of each (empty if none)."""
        if self.label_column(rows):
            return column_types.parse_categories(rows["label"], column_types.MISSING_LABELS)
        numbers, error = column_types.parse_numbers(rows["label"], number_forms(rows).get("label"))
        return numbers.map(lambda number: "" if np.isnan(number) else repr(float(number))).astype(object), error

    def _groups(self, features: pd.DataFrame) -> pd.Series:
        """The groups of each row, as "SEX=female; AGE=25-34"."""
        dataset = self.fetch.named_dataset
        columns = self.clean.groups or (
            dataset.groups if dataset else [name for name in features if name.lower() in USUAL_GROUPS]
        )
        if unknown := [name for name in columns if name not in features]:
            raise UserError(registry.unknown_name("clean.groups: no column", unknown[0], map(str, features.columns)))
        groups = pd.Series("", index=features.index, dtype=object)
        for name in columns:
            cells = features[name]
            if pd.api.types.is_float_dtype(cells):
                codes = (cells % 1 == 0) & (cells.abs() <= MAX_GROUP_CODE)
                cells = binary_classification.bin_labels(cells, self.clean.group_edges).mask(
                    codes, column_types.codes_as_text(cells.where(codes))
                )
            meaning = cells.replace(dict(dataset.meanings.get(name, {})) if dataset else {}).replace("", "unknown")
            groups = groups + f"; {name}=" + meaning.str.replace(r"[;=|]", " ", regex=True)
        return groups.str.removeprefix("; ").astype(object)

    def duplicate_group(self, rows: pd.DataFrame) -> pd.Series:
        """Rows with equal features share a split, whatever their labels."""
        return rows["alike"]

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """The split that the source names, else by hash of the features, stratified by class if the label is a class."""
        subset = rows["subset"] if "subset" in rows else pd.Series("", index=rows.index)
        labels = rows["label"] if self.label_column(rows) else None
        return split_beside_source(subset, duplicate_group, labels, self.clean.validation_share, self.clean.test_share)

    def corruptions(self) -> tuple[Corruption, ...]:
        """Missing columns and shifted scales."""
        return corruptions.corruptions(self._column_kinds)

    def input_range(self, state: PreprocessingState) -> InputRange | None:
        """Each number from two standard deviations below to two above its median, in normal scores; codes have no range."""
        curves = zip(state["scores"], state["knots"], strict=True)
        ends = np.array([np.interp([-2.0, 2.0], scores, knots) for scores, knots in curves], np.float32).reshape(-1, 2)
        ends = np.concatenate([ends, np.zeros((len(state["categories"]), 2), np.float32)])
        return InputRange(ends[:, 0], ends[:, 1])

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """The quantile curve of each number, the values of each category, and the meaning of the outputs."""
        blind = {part.partition("=")[0] for part in rows["groups"].iloc[0].split("; ")} if self.model.blind else set()
        kinds = {name: kind for name, kind in self._column_kinds(rows).items() if name not in blind}
        numbers = [name for name, kind in kinds.items() if kind == NUMBER]
        codes = [name for name in numbers if column_types.is_code_like(rows[name])]
        curves = [column_types.quantile_curve(rows[name].to_numpy(np.float64), self.model.knots) for name in numbers]
        cells = {name: column_types.codes_as_text(rows[name]) for name in codes}
        cells |= {name: rows[name] for name, kind in kinds.items() if kind == "category"}
        return {
            **self._target_state(rows),
            "numbers": numbers,
            "knots": [knots for knots, _ in curves],
            "scores": [scores for _, scores in curves],
            "categories": {name: column_types.frequent_values(values, MIN_CATEGORY_ROWS) for name, values in cells.items()},
        }

    def _target_state(self, rows: pd.DataFrame) -> dict[str, Any]:
        """The classes, or the mean and standard deviation of a numeric label."""
        if not self.label_column(rows):
            target = rows["label"].astype(np.float64)
            return {"problem": "regression", "mean": float(target.mean()), "std": max(float(target.std()), 1e-12)}
        counts = rows["label"].value_counts()
        dataset = self.fetch.named_dataset
        event = self.model.event or (dataset.event if dataset else "")
        if event and event not in counts.index:
            raise UserError(registry.unknown_name("model.event: no label", event, sorted(counts.index)))
        if len(counts) > 2:
            if self.model.event:
                raise UserError(f"model.event is for binary labels, but there are {len(counts)} classes; leave it empty")
            return {"problem": "multiclass", "classes": sorted(counts.index)}
        event = event or str(min(sorted(counts.index), key=lambda name: counts[name]))
        (other,) = set(counts.index) - {event}
        return {"classes": [other, event], "threshold": 1 / (1 + self.model.default_cost)}

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as float32 (N, F + C), numbers unchanged and category codes, and targets (N,).

        Targets are 1 for the event and 0 for the other label (float32), class indices (int64), or standardized numbers.
        """
        columns = [rows[name].to_numpy(np.float32) for name in state["numbers"]]
        for name, values in state["categories"].items():
            cells = column_types.codes_as_text(rows[name]) if pd.api.types.is_float_dtype(rows[name]) else rows[name]
            columns.append(column_types.category_codes(cells, values))
        return np.stack(columns, 1), self._targets(rows["label"], state)

    def _targets(self, labels: pd.Series, state: PreprocessingState) -> Array:
        problem = state.get("problem", "binary")
        if problem == "regression":
            numbers = labels.to_numpy(np.float64)
            return np.asarray((numbers - state["mean"]) / state["std"], np.float32)
        classes = state["classes"]
        if unknown := set(labels) - set(classes):
            raise UserError(f"the model knows no label {sorted(unknown)[0]!r}; it knows {', '.join(map(repr, classes))}")
        index = {name: place for place, name in enumerate(classes)}
        return np.array([index[label] for label in labels], np.int64 if problem == "multiclass" else np.float32)

    def slice_columns(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The label, the groups, and the first few columns of numbers and of categories with few values."""
        names = [part.partition("=")[0] for part in rows["groups"].iloc[0].split("; ") if part]
        groups = {name: rows["groups"].str.extract(rf"(?:^|; ){re.escape(name)}=([^;]*)")[0] for name in names}
        kinds = {name: kind for name, kind in self._column_kinds(rows).items() if name not in groups}
        numbers = [name for name, kind in kinds.items() if kind == NUMBER]
        categories = [name for name, kind in kinds.items() if kind != NUMBER and rows[name].nunique() <= MAX_SLICE_VALUES]
        features = rows[[*numbers[:SLICE_COLUMNS], *categories[:SLICE_COLUMNS]]]
        label = rows["label"] if self.label_column(rows) else rows["label"].astype(np.float64)
        return pd.DataFrame({"label": label, **groups, **features})

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The configured architecture for the columns of the train rows."""
        sizes = [len(values) + 1 for values in state["categories"].values()]
        shape: dict[str, Any] = {"numbers": len(state["numbers"]), "knots": self.model.knots, "sizes": sizes}
        if state.get("problem") == "multiclass":
            shape["outputs"] = len(state["classes"])
        return self._build({**shape, **self.model.fields}, state)

    def own_network(self, state: PreprocessingState) -> dict[str, Any]:
        """Rows (B, 2F + K): numbers, whether they are missing, category numbers; `numbers` (F), `categories` (K), `outputs`."""
        outputs = len(state["classes"]) if state.get("problem") == "multiclass" else 1
        sizes = [len(values) + 1 for values in state["categories"].values()]
        knots_FK = np.asarray(state["knots"], np.float64).reshape(len(state["numbers"]), -1)
        mean, std = knots_FK.mean(1), np.maximum(knots_FK.std(1), 1e-6)  # of evenly spaced ranks
        keywords = {"numbers": len(state["numbers"]), "categories": sizes, "outputs": outputs}
        return {"inputs": "table", "keywords": keywords, "outputs": outputs, "mean": mean.tolist(), "std": std.tolist()}

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The same architecture with one ensemble member or block and `width_share` of the units."""
        network = self.build_model(state)
        return self._build(type(network).smaller(network.fields, width_share), state)  # type: ignore[attr-defined]

    def _build(self, fields: dict[str, Any], state: PreprocessingState) -> nn.Module:
        network: nn.Module = registry.build_network(self.name, self.model.architecture, fields)
        if state["numbers"]:
            network.curves.set(state["knots"], state["scores"])  # type: ignore[operator,union-attr]
        return network


def number_forms(rows: pd.DataFrame) -> dict[str, NumberFormat]:
    """How the numbers of each column of raw rows are written, where it is not plain."""
    forms = json.loads(rows["formats"].iloc[0]) if "formats" in rows else {}
    return {name: NumberFormat.from_json(entries) for name, entries in forms.items()}
