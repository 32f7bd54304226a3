"""Who will not pay back? Tables of numbers and categories, told apart by a small network, with the cost of being wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.settings import settings
from tasks.core.splits import row_keys, stratified_split
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.data import sources, table_files
from tasks.metrics import binary_classification
from tasks.problems.binary_classification import BinaryClassification
from tasks.use_cases.credit import column_types, datasets
from tasks.use_cases.credit.settings import TableClean, TableContract, TableFetch, TableModel, TableTraining

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

USUAL_LABELS = ("label", "target", "default", "class", "outcome", "y", "risk", "loan_status", "default.payment.next.month")
USUAL_GROUPS = ("sex", "gender", "age")
FIXED = ("label", "alike", "same", "groups")
FOUND = (
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
"""Columns that say where a row was found and where it went; a feature must not be called so."""
KEPT = ("file", "row", "split", "label", "groups")
MOST_CODE = 10
"""Whole numbers up to this are a group's codes, not ages."""
FEWEST = 10
"""Train rows that a category's value needs to be told apart."""


@settings
class Credit(UseCase):
    fetch: TableFetch = Field(default_factory=TableFetch)
    clean: TableClean = Field(default_factory=TableClean)
    model: TableModel = Field(default_factory=TableModel)
    training: TableTraining = Field(default_factory=TableTraining)
    contract: TableContract = Field(default_factory=TableContract)

    class Schema(pa.DataFrameModel):
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        alike: str = pa.Field(str_length=16)
        """Equal for equal applicants, whatever became of them."""
        same: str = pa.Field(str_length=16)
        """Equal for equal rows."""
        groups: str
        """Whom fairness is reported for, as "SEX=female; AGE=25-34"."""

    summary: ClassVar[str] = (
        "Who will not pay back? Tables of numbers and categories, told apart by a small network, with the cost of being wrong."
    )
    problem: ClassVar[Problem] = BinaryClassification(keep=KEPT)
    unique_key: ClassVar[tuple[str, ...]] = ("same",)

    def schema(self, rows: pd.DataFrame) -> pa.DataFrameSchema:
        """The columns of `Rows`, and those of the table: floats (NaN where missing) and text (empty where missing)."""
        number, category = pa.Column(float, nullable=True), pa.Column(str)
        found = {name: number if kind == "number" else category for name, kind in self._kinds(rows).items()}
        return self.Schema.to_schema().add_columns(found)

    def _kinds(self, rows: pd.DataFrame) -> dict[str, str]:
        """The kind of every column that is learnt from, in raw rows by what `raw` found, in clean rows by what they are."""
        if "kinds" in rows:
            told: dict[str, str] = json.loads(rows["kinds"].iloc[0])
            return {name: kind for name, kind in told.items() if kind != "neither"}
        beside = {*FIXED, *FOUND}
        numeric = pd.api.types.is_float_dtype
        return {name: "number" if numeric(rows[name]) else "category" for name in rows.columns if name not in beside}

    def load(self) -> Iterator[pd.DataFrame]:
        """The table as it came, its label named `label`, with the `kinds` of its columns (JSON) in every row."""
        fetch, known = self.fetch, self.fetch.known
        path = datasets.dataset_path(known) if known else sources.verified_path(fetch.path, fetch.expected_fingerprint("path"))

        def blocks() -> Iterator[pd.DataFrame]:
            if known is None:
                return table_files.read_table(path, separator=fetch.separator)
            return table_files.read_table(path, separator=known.separator, names=known.names)

        reader = blocks()
        first = next(reader)
        names = [str(name) for name in first.columns if name not in FOUND]
        label = fetch.label or (known.label if known else next((name for name in USUAL_LABELS if name in names), ""))
        if not label:
            raise UserError(f"{path}: which column says who paid? Name it in fetch.label; there is {', '.join(names)[:300]}")
        table_files.check_columns(path, names, [label, *fetch.numbers, *fetch.categories, *fetch.ignore])
        if taken := [name for name in names if name != label and name in (*FIXED, *FOUND)]:
            raise UserError(f"{path}: a column named {taken[0]!r} would be mistaken for one of ours; rename it")
        given: dict[str, column_types.Kind] = dict.fromkeys((*fetch.ignore, *(known.ignored if known else ())), "neither")
        given.update(dict.fromkeys(fetch.numbers, "number"))
        given.update(dict.fromkeys(fetch.categories, "category"))
        try:
            kinds = column_types.infer_column_kinds(chain([first], reader), given, {*FOUND, label})
        except UserError as mistake:
            raise UserError(f"{path}: {mistake}") from None
        ordered = json.dumps({name: kinds[name] for name in names if name in kinds}, ensure_ascii=False)
        return (block.rename(columns={label: "label"}).assign(kinds=ordered) for block in blocks())

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Every cell read as its column's kind; a row with a cell that cannot be read, or without a label, gets a fault."""
        told, fix = datasets.apply_known_errors(self.fetch.known, rows)
        judged, fault = {}, pd.Series("", index=rows.index, dtype=object)
        label, wrong = column_types.parse_categories(rows["label"])
        for name, kind in self._kinds(rows).items():
            judged[name], said = (column_types.parse_numbers if kind == "number" else column_types.parse_categories)(told[name])
            fresh = (fault == "") & (said != "")
            fault[fresh] = said[fresh] + f": {name} " + told.loc[fresh, name].astype(str).str[:40].map(repr)
            unknown = judged[name].isna() if kind == "number" else judged[name] == ""
            fix = fix.where(~unknown | (said != ""), fix + f"; seen missing {name}")
        fault = fault.mask(label == "", "empty-label: the row does not say who paid").mask(wrong != "", "unreadable-label")
        features = pd.DataFrame(judged, index=rows.index)
        alike = row_keys(features, tuple(features.columns))
        place = (rows["file"] + ":" + rows["row"].astype(str)) if self.clean.repeats == "keep" else ""
        same = row_keys(pd.DataFrame({"alike": alike, "label": label, "place": place}), ("alike", "label", "place"))
        fixed = {"label": label, "alike": alike, "same": same, "groups": self._groups(features)}
        return pd.DataFrame({**fixed, **judged, "fault": fault, "fix": fix.str.removeprefix("; ")}, index=rows.index)

    def _groups(self, features: pd.DataFrame) -> pd.Series:
        known = self.fetch.known
        wanted = self.clean.groups or (known.groups if known else [name for name in features if name.lower() in USUAL_GROUPS])
        if strange := [name for name in wanted if name not in features]:
            raise UserError(registry.unknown_name("clean.groups: no column", strange[0], map(str, features.columns)))
        said = pd.Series("", index=features.index, dtype=object)
        for name in wanted:
            cells = features[name]
            if pd.api.types.is_float_dtype(cells):
                codes = (cells % 1 == 0) & (cells.abs() <= MOST_CODE)
                cells = binary_classification.bin_labels(cells, self.clean.group_edges).mask(
                    codes, column_types.codes_as_text(cells.where(codes))
                )
            meant = cells.replace(dict(known.meanings.get(name, {})) if known else {}).replace("", "unknown")
            said = said + f"; {name}=" + meant.str.replace(r"[;=|]", " ", regex=True)
        return said.str.removeprefix("; ").astype(object)

    def duplicate_group(self, rows: pd.DataFrame) -> pd.Series:
        """Equal applicants stand in one split, whatever became of them."""
        return rows["alike"]

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """Of each label the same share in every split: by the order of their hashes, equal applicants together."""
        labels = sorted(set(rows["label"]))
        if len(labels) > 2:
            some = ", ".join(map(repr, labels[:8]))
            raise UserError(
                f"the label has {len(labels):,} values ({some}); expected two, of those who paid and those who did not"
            )
        return stratified_split(duplicate_group, rows["label"], self.clean.validation_share, self.clean.test_share)

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """Labels, the curve of every number, the values of every category, and the threshold of refusal."""
        known, counts = self.fetch.known, rows["label"].value_counts()
        event = self.model.event or (known.event if known else str(min(sorted(counts.index), key=lambda name: counts[name])))
        if event not in counts.index:
            raise UserError(registry.unknown_name("model.event: no label", event, sorted(counts.index)))
        (other,) = set(counts.index) - {event}
        unseen = {part.partition("=")[0] for part in rows["groups"].iloc[0].split("; ")} if self.model.blind else set()
        kinds = {name: kind for name, kind in self._kinds(rows).items() if name not in unseen}
        numbers = [name for name, kind in kinds.items() if kind == "number"]
        codes = [name for name in numbers if column_types.is_code_like(rows[name])]
        curves = [column_types.quantile_curve(rows[name].to_numpy(np.float64), self.model.knots) for name in numbers]
        cells = {name: column_types.codes_as_text(rows[name]) for name in codes}
        cells |= {name: rows[name] for name, kind in kinds.items() if kind == "category"}
        return {
            "classes": [other, event],
            "numbers": numbers,
            "knots": [knots for knots, _ in curves],
            "scores": [scores for _, scores in curves],
            "categories": {name: column_types.frequent_values(found, FEWEST) for name, found in cells.items()},
            "threshold": 1 / (1 + self.model.default_cost),
        }

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N rows to float32 (N, F + C), the numbers as they are and the places of the categories, and 1 for the event (N,)."""
        other, event = state["classes"]
        if strange := set(rows["label"]) - {other, event}:
            raise UserError(f"the model knows no label {sorted(strange)[0]!r}; it knows {other!r} and {event!r}")
        found = [rows[name].to_numpy(np.float32) for name in state["numbers"]]
        for name, values in state["categories"].items():
            cells = column_types.codes_as_text(rows[name]) if pd.api.types.is_float_dtype(rows[name]) else rows[name]
            found.append(column_types.category_codes(cells, values))
        return np.stack(found, 1), (rows["label"] == event).to_numpy(np.float32)

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The architecture by name, fitted to the columns of the train rows."""
        sizes = [len(values) + 1 for values in state["categories"].values()]
        shape = {"numbers": len(state["numbers"]), "knots": self.model.knots, "sizes": sizes}
        return self._build({**shape, **self.model.fields}, state)

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The same architecture with one member or block and `width_share` of the units."""
        grown = self.build_model(state)
        return self._build(type(grown).smaller(grown.fields, width_share), state)  # type: ignore[attr-defined]

    def _build(self, fields: dict[str, Any], state: PreprocessingState) -> nn.Module:
        network: nn.Module = registry.build_network(self.name, self.model.architecture, fields)
        if state["numbers"]:
            network.curves.set(state["knots"], state["scores"])  # type: ignore[operator,union-attr]
        return network
