"""Pictures whose classes are in a table beside them, as in `images/0001.jpg` and `labels.csv` with the columns id and label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import UserError
from tasks.data import table_files
from tasks.data.layouts import Layout, SourceFile
from tasks.data.splits_in_names import splits_of_files, splits_of_values

if TYPE_CHECKING:
    import pandas as pd

    from tasks.use_cases.vision.settings import ImageFetch

TABLE_SUFFIXES = (".csv", ".tsv")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "class_name", "classname", "label_name", "fine_label")
SPLIT_NAMES = ("split", "subset", "set")
MIN_NAMED_SHARE = 0.5
"""A column names pictures if at least this share of its first cells does: tables may list pictures that were left out."""
PEEKED_ROWS = 200


def labelled_by_table(fetch: ImageFetch, layout: Layout) -> Layout | None:
    """The pictures that tables beside them name, with their labels; None if no table does, or folders are classes.

    A table is looked at if fetch.image or fetch.label is set, or if the folders give no two classes. A cell names a picture by
    its path below the source, its name, or its name without suffix. A name that several pictures have raises a `UserError`.
    """
    tables = [file for file in layout.files if file.path.suffix.lower() in TABLE_SUFFIXES]
    pictures = [file for file in layout.files if file not in tables]
    if not tables or not pictures or (len({file.label for file in pictures if file.label}) > 1 and not fetch.label):
        return None
    by_name = _pictures_by_name(pictures)
    splits = splits_of_files([file.name for file in tables])
    labelled: dict[SourceFile, SourceFile] = {}
    notes = []
    for table in tables:
        rows = _rows(table.path)
        column = _name_column(table.path, rows, fetch.image, by_name)
        if not column:
            continue
        label, split = _label_column(table.path, rows, fetch.label, column), _split_column(rows)
        values = splits_of_values(set(rows[split])) if split else {}
        unknown = 0
        for name, value, subset in zip(rows[column], rows[label], rows[split] if split else [""] * len(rows), strict=True):
            detected = by_name.get(_plain(name), [])
            if len(detected) > 1:
                listed = " and ".join(file.name for file in detected[:2])
                raise UserError(f"{table.path}: {name!r} may be {listed}; write the path below the folder")
            unknown += not detected
            for file in detected:
                own = values.get(subset) or splits.get(table.name) or file.subset
                labelled[file] = replace(file, label=value.strip(), subset=own)
        notes.append(f"classes by column {label} of {table.name}, pictures by its column {column}")
        notes += [f"{unknown:,} rows of {table.name} name no picture"] * bool(unknown)
    if not notes:
        return None
    if left := len(pictures) - len(labelled):
        notes.append(f"left out: {left:,} pictures that no table names")
    files = tuple(sorted(labelled.values(), key=lambda file: file.name))
    return Layout(files, (*layout.remarks, *notes))


def _rows(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(list(table_files.read_table(path)), ignore_index=True).drop(columns=["file", "row", "doubt"]).fillna("")


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./").lower()


def _pictures_by_name(pictures: Sequence[SourceFile]) -> dict[str, list[SourceFile]]:
    """The pictures by path, by name and by name without suffix, all in lower case; a whole path is no other picture's name."""
    names, stems = dict[str, list[SourceFile]](), dict[str, list[SourceFile]]()
    for file in pictures:
        names.setdefault(file.path.name.lower(), []).append(file)
        stems.setdefault(file.path.stem.lower(), []).append(file)
    return stems | names | {_plain(file.name): [file] for file in pictures}


def _name_column(path: Path, rows: pd.DataFrame, named: str, by_name: dict[str, list[SourceFile]]) -> str:
    """The column that names pictures; empty if none does."""
    if named:
        table_files.check_columns(path, list(rows), [named])
        return named
    for column in rows:
        cells = rows[column].head(PEEKED_ROWS)
        if sum(_plain(cell) in by_name for cell in cells) >= MIN_NAMED_SHARE * len(cells):
            return str(column)
    return ""


def _label_column(path: Path, rows: pd.DataFrame, named: str, name_column: str) -> str:
    others = [str(name) for name in rows if name != name_column]
    if named:
        table_files.check_columns(path, others, [named])
        return named
    usual = [name for usual_name in LABEL_NAMES for name in others if name.strip().lower() == usual_name]
    if usual or len(others) == 1:
        return [*usual, *others][0]
    near = get_close_matches("label", others, n=1)
    hint = f", as in fetch.label={near[0] if near else others[0]}" if others else ""
    raise UserError(f"{path} names pictures, but which column is their class? It has {', '.join(others)[:200]}; name it{hint}")


def _split_column(rows: pd.DataFrame) -> str:
    """The column with the split of each picture; empty if none."""
    columns = [str(name) for name in rows if str(name).strip().lower() in SPLIT_NAMES]
    return columns[0] if columns and splits_of_values(set(rows[columns[0]])) else ""
