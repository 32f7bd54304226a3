"""Raw rows of tables: which column is the label, of which kind the others are, and what was found out about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import layouts, remarks, table_files
from tasks.data.layouts import SourceFile
from tasks.data.number_cells import Decimal, NumberEvidence
from tasks.data.tables.csv_layout import NAMES
from tasks.use_cases.credit import column_kinds, datasets
from tasks.use_cases.credit.column_types import MISSING_LABELS, normalize_cells, parse_categories

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.use_cases.credit.settings import TableFetch

USUAL_LABELS = ("label", "target", "default", "class", "outcome", "y", "risk", "loan_status", "default.payment.next.month")
READER_COLUMNS = ("file", "row", "doubt")
SCHEMA_COLUMNS = ("label", "label_kind", "alike", "same", "groups")
ADDED_COLUMNS = ("kinds", "formats", "ids", "subset")
RESERVED_COLUMNS = (
    *READER_COLUMNS,
    *ADDED_COLUMNS,
    *("split", "fix", "fault", "key", "part", "verdict", "reason", "duplicate_group", "position"),
)
"""Columns of the origin and the outcome of a row; a feature with such a name is given another one."""
ODD_SEPARATORS = (":", "^", "~", "@", "/", " ")
"""What may split the columns of a file that seems to have one."""
TRUTH_WORDS = frozenset(
    (
        *("yes", "no", "y", "n", "true", "false", "t", "f", "on", "off", "ja", "nein", "oui", "non", "vrai", "faux", "si", "sí"),
        *("positive", "negative", "pos", "neg", "да", "нет"),
    )
)
"""Labels of two classes that are the same in capitals and small letters."""
OTHER_LABEL = "label (column)"
"""The name of a feature that is called label."""
MAX_CHECKED_FILES = 8
"""Tables whose first rows are checked before a run."""
CLASS, NUMBER = "class", "number"
"""The values of `label_kind`: the label is the name of a class, or a quantity."""
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".parquet", ".pq", ".jsonl", ".ndjson", ".xlsx", ".npz", ".gz", ".xz", ".bz2")
DECIMALS: dict[str, Decimal | None] = {"auto": None, "point": ".", "comma": ","}


def source_files(fetch: TableFetch) -> tuple[tuple[SourceFile, ...], list[str]]:
    """The user's tables, and what was understood of their layout."""
    layout = layouts.read_own(fetch, lambda path: bool({suffix.lower() for suffix in path.suffixes} & set(TABLE_SUFFIXES)))
    place = fetch.path or fetch.train
    if not layout.files:
        raise UserError(f"{place} holds no table; expected files such as loans.csv ({', '.join(TABLE_SUFFIXES)})")
    layouts.check_train(layout, place)
    return layout.files, list(layout.remarks)


def read_rows(fetch: TableFetch) -> Iterator[DataFrame]:
    """The raw table with its label as `label`; every row has `label_kind`, and as JSON the `kinds` of the columns.

    `formats` (how numbers are written, where it is not plain) and `ids` (columns that say who a row is about) are there if any.
    """
    dataset = fetch.named_dataset
    files, notes = ((SourceFile(datasets.dataset_path(dataset), ""),), list[str]()) if dataset else source_files(fetch)
    place = files[0].path if len(files) == 1 else files[0].path.parent
    splits = {} if dataset else _split_columns(fetch, files, notes)

    def blocks() -> Iterator[DataFrame]:
        header: list[str] = []
        for file in files:
            for block in read_blocks(fetch, file, notes, *splits.get(file.name, ("", {}))):
                header = header or [str(name) for name in block.columns]
                _check_same_columns(file, files[0], [str(name) for name in block.columns], header)
                yield block[header].rename(columns=other)

    other = dict[str, str]()
    names = _names(next(blocks()))
    label, explicit = _label_and_kinds(place, fetch, names, notes)
    if label != "label" and "label" in names:
        other["label"] = OTHER_LABEL
        explicit = {other.get(name, name): kind for name, kind in explicit.items()}
        names = [other.get(name, name) for name in names]
    labels = column_kinds.ColumnStatistics()
    usual: Decimal = "," if any(NAMES[";"] in text for text in notes) else "."
    try:
        columns = column_kinds.infer_columns(
            column_kinds.observe(blocks(), label, labels),
            explicit,
            {*RESERVED_COLUMNS, label},
            DECIMALS[fetch.decimal],
            usual,
            labels,
        )
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    kind = {"classes": CLASS, "number": NUMBER}.get(fetch.target) or (NUMBER if labels.is_quantity() else CLASS)
    spelled, sentences = _spellings(labels.values) if kind == CLASS else ({}, [])
    classes = parse_categories(pd.Series(list(labels.values), dtype=object), MISSING_LABELS)[0].replace(spelled).nunique()
    notes += [f"label: column `{label}`, " + ("a number" if kind == NUMBER else f"{classes:,} classes"), *sentences]
    notes += [] if dataset else columns.remarks
    forms = {name: form.to_json() for name, form in columns.forms.items()}
    if kind == NUMBER and labels.form.to_json():
        forms["label"] = labels.form.to_json()
    added = {"kinds": _json({name: columns.kinds[name] for name in names if name in columns.kinds}), "label_kind": kind}
    added |= {"formats": _json(forms)} if forms else {}
    added |= {"ids": _json(columns.ids)} if columns.ids else {}

    def labelled() -> Iterator[DataFrame]:
        for block in blocks():
            block = block.rename(columns={label: "label"}).assign(**added)
            yield block.assign(label=normalize_cells(block["label"], MISSING_LABELS).replace(spelled)) if spelled else block

    return remarks.attach(labelled(), list(dict.fromkeys(notes)))


def _spellings(values: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """What labels that are words such as yes and no, but differ in case, are read as, and a sentence on them; none for others."""
    groups: dict[str, list[str]] = {}
    for value in values:
        groups.setdefault(value.casefold(), []).append(value)
    several = [group for group in groups.values() if len(group) > 1]
    if not several or not set(groups) <= TRUTH_WORDS:
        return {}, []
    listed = "; ".join(", ".join(f"`{value}`" for value in group) for group in several)
    return {value: group[0] for group in several for value in group[1:]}, [f"labels {listed} are read as one class"]


def check_head(fetch: TableFetch) -> None:
    """Raise a `UserError` for a source without tables, and for what the first rows of the first few tables show to be wrong."""
    files, notes = source_files(fetch)
    place = files[0].path if len(files) == 1 else files[0].path.parent
    header, rows = list[str](), 0
    for file in files[:MAX_CHECKED_FILES]:
        block = next(read_blocks(fetch, file, notes))
        rows += len(block)
        header = header or [str(name) for name in block.columns]
        if fetch.split:
            table_files.check_columns(file.path, header, [_renamed(fetch.split)])
        _check_same_columns(file, files[0], [str(name) for name in block.columns], header)
    label, _ = _label_and_kinds(place, fetch, _names(block), notes)
    values = normalize_cells(block[label], MISSING_LABELS)
    filled = values[values != ""]
    if len(files) == 1 and rows < table_files.BLOCK_ROWS and filled.nunique() < 2:
        shown = f"the value {filled.iloc[0]!r} only" if len(filled) else "no value"
        raise UserError(f"{place}: the label's column {label!r} has {shown}; there is nothing to tell apart (fetch.label)")
    if fetch.target == "number" and len(filled):
        evidence = NumberEvidence()
        evidence.add(filled)
        if not evidence.readable(evidence.format(DECIMALS[fetch.decimal])):
            raise UserError(f"{place}: fetch.target is number, but {label!r} holds {filled.iloc[0]!r}; leave it at auto")


def _names(block: DataFrame) -> list[str]:
    """The columns that may be the label or features."""
    return [str(name) for name in block.columns if name not in (*READER_COLUMNS, *ADDED_COLUMNS)]


def _check_same_columns(file: SourceFile, first: SourceFile, names: Sequence[str], header: Sequence[str]) -> None:
    """Raise a `UserError` for a file with other columns than the first one."""
    if set(names) != set(header):
        odd = [name for name in [*names, *header] if (name in header) != (name in names)]
        listed = ", ".join(odd)[:200]
        raise UserError(
            f"{file.path} and {first.path.name} differ in their columns ({listed}); "
            "give every file the same columns, or name those with labels in fetch.train and fetch.test"
        )


def _label_and_kinds(
    place: Path, fetch: TableFetch, names: Sequence[str], notes: list[str]
) -> tuple[str, dict[str, column_kinds.Kind]]:
    """The label's column, and the kinds of columns that are told; raises a `UserError` for a column that is not there."""
    dataset = fetch.named_dataset
    label = _label_column(place, fetch, names, dataset.label if dataset else "", notes)
    numbers, categories, ignored = (
        [_renamed(name) for name in listed] for listed in (fetch.numbers, fetch.categories, fetch.ignore)
    )
    table_files.check_columns(place, names, [*numbers, *categories, *ignored])
    explicit: dict[str, column_kinds.Kind] = dict.fromkeys((*ignored, *(dataset.ignored if dataset else ())), "neither")
    explicit |= dict.fromkeys(numbers, "number")
    explicit |= dict.fromkeys(categories, "category")
    return label, explicit


def read_unlabelled(fetch: TableFetch, path: Path, state: Mapping[str, Any]) -> Iterator[DataFrame]:
    """Rows to be predicted: the columns that a model with this state reads, of the kinds they had in training.

    How numbers are written is found anew. A label that the model knows is added, since the rows of a model have one.
    """
    kinds = dict.fromkeys(state["numbers"], NUMBER)
    kinds |= {name: "category" for name in state["categories"] if name not in state["numbers"]}
    label = str(next(iter(state.get("classes") or ("0",))))
    fixed = {"label": label, "label_kind": CLASS if "classes" in state else NUMBER, "kinds": _json(kinds)}

    def blocks(notes: list[str]) -> Iterator[DataFrame]:
        file = SourceFile(path, path.name)
        for block in read_blocks(fetch, file, notes, by_name=path.suffix == ".data"):
            if OTHER_LABEL in kinds:
                block = block.rename(columns={"label": OTHER_LABEL})
            names = [str(name) for name in block.columns]
            table_files.check_columns(path, names, list(kinds))
            yield block[[*kinds, *(name for name in READER_COLUMNS if name in names)]]

    notes: list[str] = []
    numbers = {name: NumberEvidence() for name in state["numbers"]}
    for block in blocks(notes):
        for name, evidence in numbers.items():
            evidence.add(block[name])
    decimals = [evidence.own_decimal() for evidence in numbers.values()]
    usual: Decimal = "," if decimals.count(",") > decimals.count(".") else "."
    forms = {name: evidence.format(DECIMALS[fetch.decimal], usual).to_json() for name, evidence in numbers.items()}
    forms = {name: entries for name, entries in forms.items() if entries}
    fixed |= {"formats": _json(forms)} if forms else {}
    return (block.assign(**fixed) for block in blocks(notes))


def _split_columns(fetch: TableFetch, files: Sequence[SourceFile], notes: list[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """For each file the column that holds its splits, and the split of each value; the files without one are left out."""
    detected = {}
    for file in files:
        column, values = layouts.split_column(file, fetch.split, _reading(fetch))
        if column:
            notes.append(f"own splits of {file.name} by its column {column}")
            detected[file.name] = (column, values)
    return detected


def _reading(fetch: TableFetch) -> dict[str, Any]:
    """How `table_files.read_table` reads the user's tables."""
    names = [name.strip() for name in fetch.columns.split(",") if name.strip()]
    return {"separator": fetch.separator, "names": names, "encoding": fetch.encoding}


def read_blocks(
    fetch: TableFetch,
    file: SourceFile,
    notes: list[str],
    split: str = "",
    splits: Mapping[str, str] | None = None,
    *,
    by_name: bool = True,
) -> Iterator[DataFrame]:
    """Blocks of one file, with other names for reserved ones, and with `subset` if the source has splits.

    `split` is the column of splits, `splits` the split of each value. What is found out about the file is added to `said`. A
    `known` file is laid out as the data set by name is, if there is one.
    """
    dataset = fetch.named_dataset if by_name else None
    reading = {"separator": dataset.separator, "names": dataset.names} if dataset else _reading(fetch)
    nested: set[str] = set()
    for block in table_files.read_table(file.path, file_name=file.name, **reading):
        notes += remarks.take(block)
        for name, lines in block.attrs.pop(table_files.NESTED, {}).items():
            nested.add(name)
            notes.append(f"column `{name}` left out: line {lines[0]} holds a list or an object")
        subset = block[split].map(splits).fillna("") if split and splits else file.subset
        block = block.drop(columns=[*nested, *([split] if split else [])])
        renamed = {name: _renamed(str(name)) for name in block.columns if name not in READER_COLUMNS}
        notes += [f"column `{name}` is called `{other}`" for name, other in renamed.items() if name != other]
        block = block.rename(columns=renamed)
        yield block.assign(subset=subset) if split or file.subset else block


def _renamed(name: str) -> str:
    """A name that is none of the reserved ones."""
    name = name.strip()
    return f"{name} (column)" if name in (*RESERVED_COLUMNS, *(set(SCHEMA_COLUMNS) - {"label"})) else name


def _label_column(place: Path, fetch: TableFetch, names: Sequence[str], usual_label: str, notes: list[str]) -> str:
    """The label's column: the one that is set, else the last column if it has a usual name, else the first such name."""
    if fetch.label or usual_label:
        label = _renamed(fetch.label) if fetch.label else usual_label
        table_files.check_columns(place, names, [label])
    else:
        by_name = {name.lower(): name for name in reversed(names)}
        usual = [by_name[name] for name in USUAL_LABELS if name in by_name]
        if not usual:
            hint = " Does the file begin with its rows? Then name all columns in fetch.columns." if _is_headless(names) else ""
            if len(names) == 1 and (marks := [mark for mark in ODD_SEPARATORS if mark in names[0]]):
                hint = f" Are its columns split at {marks[0]!r}? Then set fetch.separator={marks[0]}."
            raise UserError(
                f"{place}: which column is the label? Name it in fetch.label; there is {', '.join(names)[:300]}.{hint}"
            )
        label = names[-1] if names[-1] in usual else usual[0]
        others = [name for name in usual if name != label]
        if others:
            listed = " and ".join(f"`{name}`" for name in others)
            notes.append(f"the label is `{label}`; {listed}, also usual for a label, is a feature (fetch.label, fetch.ignore)")
    if label != "label" and "label" in names:
        notes.append(f"column `label`, which is not the label, is called `{OTHER_LABEL}`")
    return label


def _is_headless(names: Sequence[str]) -> bool:
    """Whether names look like the values of a row."""
    return any(name.replace(".", "", 1).replace("-", "", 1).isdigit() for name in names)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
