"""Raw rows of tables: which column is the label, of which kind the others are, and what was found out about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import UserError
from tasks.data import layouts, remarks, table_files
from tasks.data.layouts import SourceFile
from tasks.data.number_cells import Decimal, NumberEvidence
from tasks.data.tables.csv_layout import NAMES
from tasks.use_cases.credit import column_kinds, datasets

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
                names = [str(name) for name in block.columns]
                header = header or names
                if set(names) != set(header):
                    odd = [name for name in [*names, *header] if (name in header) != (name in names)]
                    raise UserError(
                        f"{file.path} and {files[0].path.name} differ in their columns ({', '.join(odd)[:200]}); "
                        "give every file the same columns"
                    )
                yield block[header]

    first = next(blocks())
    names = [str(name) for name in first.columns if name not in (*READER_COLUMNS, *ADDED_COLUMNS)]
    label = _label_column(place, fetch, names, dataset.label if dataset else "", notes)
    numbers, categories, ignored = (
        [_renamed(name) for name in listed] for listed in (fetch.numbers, fetch.categories, fetch.ignore)
    )
    table_files.check_columns(place, names, [*numbers, *categories, *ignored])
    explicit: dict[str, column_kinds.Kind] = dict.fromkeys((*ignored, *(dataset.ignored if dataset else ())), "neither")
    explicit |= dict.fromkeys(numbers, "number")
    explicit |= dict.fromkeys(categories, "category")
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
    notes += [f"label: column `{label}`, " + ("a number" if kind == NUMBER else f"{len(labels.values):,} classes")]
    notes += [] if dataset else columns.remarks
    forms = {name: form.to_json() for name, form in columns.forms.items()}
    if kind == NUMBER and labels.form.to_json():
        forms["label"] = labels.form.to_json()
    added = {"kinds": _json({name: columns.kinds[name] for name in names if name in columns.kinds}), "label_kind": kind}
    added |= {"formats": _json(forms)} if forms else {}
    added |= {"ids": _json(columns.ids)} if columns.ids else {}
    return remarks.attach(
        (block.rename(columns={label: "label"}).assign(**added) for block in blocks()), list(dict.fromkeys(notes))
    )


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
            raise UserError(
                f"{place}: which column is the label? Name it in fetch.label; there is {', '.join(names)[:300]}.{hint}"
            )
        label = names[-1] if names[-1] in usual else usual[0]
        others = [name for name in usual if name != label]
        if others:
            listed = " and ".join(f"`{name}`" for name in others)
            notes.append(f"the label is `{label}`; {listed}, also usual for a label, is a feature (fetch.label, fetch.ignore)")
    if label != "label" and "label" in names:
        notes.append("column `label` is not the label")
        raise UserError(f"{place}: the label is {label!r}, but another column is named 'label'; rename it")
    return label


def _is_headless(names: Sequence[str]) -> bool:
    """Whether names look like the values of a row."""
    return any(name.replace(".", "", 1).replace("-", "", 1).isdigit() for name in names)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
