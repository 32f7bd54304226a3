"""Who will not pay back? Tables of numbers and categories whose label is one of two, one of many, or a number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
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
from tasks.core.splits import row_keys, split_by_hash, stratified_split
from tasks.core.use_case import Corruption, InputRange, UseCase
from tasks.data import sources, table_files
from tasks.metrics import binary_classification
from tasks.problems.binary_classification import BinaryClassification
from tasks.problems.regression import Regression
from tasks.use_cases.credit import column_types, corruptions, datasets
from tasks.use_cases.credit.settings import TableClean, TableFetch, TableModel, TableTraining
from tasks.use_cases.credit.table_classification import TableClassification

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

USUAL_LABELS = ("label", "target", "default", "class", "outcome", "y", "risk", "loan_status", "default.payment.next.month")
USUAL_GROUPS = ("sex", "gender", "age")
SCHEMA_COLUMNS = ("label", "label_kind", "alike", "same", "groups")
RESERVED_COLUMNS = (
    "file",
    "row",
    "doubt",
    "kinds",
    "split",
    "fix",
    "fault",
    "key",
    "part",
    "verdict",
    "reason",
    "duplicate_group",
    "position",
)
"""Columns of the origin and the outcome of a row; no feature may have such a name."""
KEPT_COLUMNS = ("file", "row", "split", "label", "groups")
CLASS, NUMBER = "class", "number"
"""The values of `label_kind`: the label is the name of a class, or a quantity."""
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
        """Yield the raw table with its label as `label`, and `label_kind` and the `kinds` of its columns (JSON) in every row."""
        fetch, dataset = self.fetch, self.fetch.named_dataset
        path = (
            datasets.dataset_path(dataset) if dataset else sources.verified_path(fetch.path, fetch.expected_fingerprint("path"))
        )

        def blocks() -> Iterator[pd.DataFrame]:
            if dataset is None:
                return table_files.read_table(path, separator=fetch.separator)
            return table_files.read_table(path, separator=dataset.separator, names=dataset.names)

        reader = blocks()
        first = next(reader)
        names = [str(name) for name in first.columns if name not in RESERVED_COLUMNS]
        label = fetch.label or (dataset.label if dataset else next((name for name in USUAL_LABELS if name in names), ""))
        if not label:
            raise UserError(f"{path}: which column is the label? Name it in fetch.label; there is {', '.join(names)[:300]}")
        table_files.check_columns(path, names, [label, *fetch.numbers, *fetch.categories, *fetch.ignore])
        if reserved := [name for name in names if name != label and name in (*SCHEMA_COLUMNS, *RESERVED_COLUMNS)]:
            raise UserError(f"{path}: the column name {reserved[0]!r} is reserved; rename the column")
        set_kinds: dict[str, column_types.Kind] = dict.fromkeys((*fetch.ignore, *(dataset.ignored if dataset else ())), "neither")
        set_kinds.update(dict.fromkeys(fetch.numbers, "number"))
        set_kinds.update(dict.fromkeys(fetch.categories, "category"))
        labels = column_types.ColumnStatistics()
        try:
            blocks_with_label = column_types.observe(chain([first], reader), label, labels)
            kinds = column_types.infer_column_kinds(blocks_with_label, set_kinds, {*RESERVED_COLUMNS, label})
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        kind = {"classes": CLASS, "number": NUMBER}.get(fetch.target) or (NUMBER if labels.is_quantity() else CLASS)
        ordered = json.dumps({name: kinds[name] for name in names if name in kinds}, ensure_ascii=False)
        return (block.rename(columns={label: "label"}).assign(kinds=ordered, label_kind=kind) for block in blocks())

    def load_unlabelled(self, path: Path, state: PreprocessingState) -> Iterator[pd.DataFrame]:
        """The columns that the model reads, each of the kind that it had in training, with a label that the model knows."""
        kinds = dict.fromkeys(state["numbers"], NUMBER) | {
            name: "category" for name in state["categories"] if name not in state["numbers"]
        }
        label = str(next(iter(state.get("classes") or ("0",))))
        dataset = self.fetch.named_dataset
        separator = self.fetch.separator or (dataset.separator if dataset and path.suffix == ".data" else "")
        for block in table_files.read_table(path, separator=separator):
            names = [str(name) for name in block.columns]
            table_files.check_columns(path, names, list(kinds))
            fixed = {"label": label, "label_kind": NUMBER if "classes" not in state else CLASS, "kinds": json.dumps(kinds)}
            yield block[[*kinds, *(name for name in ("file", "row", "doubt") if name in block)]].assign(**fixed)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Parse each cell by its column's kind; a row with an unreadable cell or without a label is invalid."""
        cells, fix = datasets.repair_known_errors(self.fetch.named_dataset, rows)
        columns, fault = {}, pd.Series("", index=rows.index, dtype=object)
        for name, kind in self._column_kinds(rows).items():
            parse = column_types.parse_numbers if kind == NUMBER else column_types.parse_categories
            columns[name], error = parse(cells[name])
            first_error = (fault == "") & (error != "")
            fault[first_error] = error[first_error] + f": {name} " + cells.loc[first_error, name].astype(str).str[:40].map(repr)
            missing = columns[name].isna() if kind == NUMBER else columns[name] == ""
            fix = fix.where(~missing | (error != ""), fix + f"; seen missing {name}")
        label, error = self._labels(rows)
        fault = fault.mask(label == "", "empty-label: the row has no label").mask(error != "", "unreadable-label")
        features = pd.DataFrame(columns, index=rows.index)
        alike = row_keys(features, tuple(features.columns))
        place = (rows["file"] + ":" + rows["row"].astype(str)) if self.clean.repeats == "keep" else ""
        same = row_keys(pd.DataFrame({"alike": alike, "label": label, "place": place}), ("alike", "label", "place"))
        fixed = {"label": label, "label_kind": rows["label_kind"], "alike": alike, "same": same}
        outcome = {"groups": self._groups(features), **columns, "fault": fault, "fix": fix.str.removeprefix("; ")}
        return pd.DataFrame({**fixed, **outcome}, index=rows.index)

    def _labels(self, rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        """The labels as text, numbers in their shortest exact form, and the error of each (empty if none)."""
        if self.label_column(rows):
            return column_types.parse_categories(rows["label"])
        numbers, error = column_types.parse_numbers(rows["label"])
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
        """By hash of the features, stratified by class if the label is a class."""
        shares = self.clean.validation_share, self.clean.test_share
        if self.label_column(rows):
            return stratified_split(duplicate_group, rows["label"], *shares)
        return split_by_hash(duplicate_group, *shares)

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

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The same architecture with one ensemble member or block and `width_share` of the units."""
        network = self.build_model(state)
        return self._build(type(network).smaller(network.fields, width_share), state)  # type: ignore[attr-defined]

    def _build(self, fields: dict[str, Any], state: PreprocessingState) -> nn.Module:
        network: nn.Module = registry.build_network(self.name, self.model.architecture, fields)
        if state["numbers"]:
            network.curves.set(state["knots"], state["scores"])  # type: ignore[operator,union-attr]
        return network
