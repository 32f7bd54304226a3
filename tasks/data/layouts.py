"""The layout of a source: which of its files are data, in which split, and of which class, by folders and names.

One reader for pictures, texts and tables, so that the same folder means the same everywhere. What it understood is in
`Layout.remarks`; the stage fetch prints and records them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import UserError
from tasks.core.settings import Fetch
from tasks.core.splits import SPLITS
from tasks.data import sources, table_files
from tasks.data.splits_in_names import COLUMN_NAMES, SPLIT_WORDS, UNLABELLED, splits_of_files, splits_of_folders, splits_of_values

MAX_SPLIT_VALUES = 12
"""A column with more values holds no splits."""
MAX_NAMED = 4
"""The most names that a remark lists."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source."""

    path: Path
    name: str
    """Its path below the source, as rows and reports name it."""
    subset: str = ""
    """The split that the source names for its rows, empty if none."""
    label: str = ""
    """The name of its class by folder; empty without folders of classes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The data files of a source in the order of their names, and sentences on what was understood and left out."""

    files: tuple[SourceFile, ...]
    remarks: tuple[str, ...] = ()


DataTest = Callable[[Path], bool]


def read_own(fetch: Fetch, is_data: DataTest, *, classes: bool = False) -> Layout:
    """The layout of the user's own `path`, or of `train`, `validation` and `test`, whose fingerprints are checked.

    `is_data` says whether a file in a folder is data; one that is named itself always is. With `classes`, folders are classes.
    """
    layouts, places = [], [(name, getattr(fetch, name)) for name in ("path", *SPLITS) if getattr(fetch, name)]
    for setting, place in places:
        paths = sources.verified_paths(place, fetch.expected_fingerprint(setting))
        subset = "" if setting == "path" else setting
        if setting == "path" and len(places) > 1:
            subset = "train"  # beside a file of test rows
        layouts.append(read_layout(paths, is_data, subset=subset, classes=classes, several=len(places) > 1))
    return Layout(
        tuple(file for each in layouts for file in each.files), tuple(text for each in layouts for text in each.remarks)
    )


def read_layout(
    places: Sequence[Path], is_data: DataTest, *, subset: str = "", classes: bool = False, several: bool = False
) -> Layout:
    """The layout of files, or of one folder. With a `subset` all files belong to it, whatever their names say.

    `several`: there are other places, so names begin with that of the place.
    """
    root = places[0] if len(places) == 1 and places[0].is_dir() else places[0].parent
    listed = [file for place in places for file in ([place] if place.is_file() else sources.list_files(place))]
    files = [file for file in listed if is_data(file) or file in places]
    parts_of = {file: file.relative_to(root).parts if file.is_relative_to(root) else (file.name,) for file in files}
    prefix = f"{root.name}/" if several and root.is_dir() and root in places else ""
    names = {file: prefix + "/".join(parts) for file, parts in parts_of.items()}
    if subset:
        level, splits = -1, dict[str, str]()
    else:
        level, splits = _split_level(list(parts_of.values()))
    subsets = {file: splits.get(parts[level], "") if 0 <= level < len(parts) - 1 else subset for file, parts in parts_of.items()}
    remarks = []
    if splits:
        remarks += [f"own splits by folder: {_pairs(splits)}", *_left_out(root, files, parts_of, level, splits)]
        files = [file for file in files if subsets[file] in SPLITS]
    elif not subset and not classes:
        by_name = splits_of_files([names[file] for file in files])
        subsets = {file: by_name.get(names[file], "") for file in files}
        if by_name:
            remarks.append(f"own splits by file name: {_pairs({name.rpartition('/')[2]: by_name[name] for name in by_name})}")
        without_labels = [file for file in files if subsets[file] == UNLABELLED]
        if without_labels:
            remarks.append(f"left out, without labels: {_names([names[file] for file in without_labels])}")
            files = [file for file in files if file not in without_labels]
    labels = _labels({file: parts_of[file] for file in files}, level) if classes else {}
    no_class = {label for label in labels.values() if SPLIT_WORDS.get(label.lower()) == UNLABELLED}
    if no_class and len(set(labels.values()) - no_class - {""}) > 1:
        counts = Counter(labels[file] for file in files)
        remarks.append(f"left out, without labels: {_names([f'{name} ({counts[name]:,})' for name in sorted(no_class)])}")
        files = [file for file in files if labels[file] not in no_class]
    return Layout(tuple(SourceFile(file, names[file], subsets[file], labels.get(file, "")) for file in files), tuple(remarks))


def _split_level(parts_of: Sequence[tuple[str, ...]]) -> tuple[int, dict[str, str]]:
    """The level of the folders that are splits and the split of each; -1 if there are none.

    Folders above it are one wrapper (`archive/train/cat`), or one folder per class (`cat/train`).
    """
    for level in range(max((len(parts) for parts in parts_of), default=1) - 1):
        names = {parts[level] for parts in parts_of if len(parts) > level + 1}
        splits = splits_of_folders(names)
        if splits and (level == 0 or len({parts[:level] for parts in parts_of}) == 1 or len(splits) == len(names)):
            return level, splits
        if level and len({parts[:level] for parts in parts_of if len(parts) > level + 1}) > 1:
            break  # below the classes
    return -1, {}


def _labels(parts_of: dict[Path, tuple[str, ...]], level: int) -> dict[Path, str]:
    """The class of each file: its folder at the first level, below the splits or above them, where folders differ."""
    above = {parts[0] for parts in parts_of.values() if len(parts) > 1}
    if level > 0 and len(above) > 1:
        return {file: parts[0] for file, parts in parts_of.items()}
    below = {file: parts[level + 1 : -1] for file, parts in parts_of.items()}
    by_split: dict[str, set[str]] = {}
    while True:
        by_split = {}
        for file, parts in parts_of.items():
            if below[file]:
                by_split.setdefault(parts[level] if level >= 0 else "", set()).add(below[file][0])
        names = {name for group in by_split.values() for name in group}
        wrapped = bool(by_split) and all(len(group) == 1 for group in by_split.values())
        wrapped = wrapped and (len(names) == 1 or names <= {parts[level] for parts in parts_of.values()})
        if not wrapped or not any(len(rest) > 1 for rest in below.values()):
            break
        below = {file: rest[1:] for file, rest in below.items()}
    return {file: rest[0] if rest else "" for file, rest in below.items()}


def _left_out(
    root: Path, files: Sequence[Path], parts_of: dict[Path, tuple[str, ...]], level: int, splits: dict[str, str]
) -> list[str]:
    """A remark about what lies beside the folders of splits."""
    beside = Counter(parts_of[file][min(level, len(parts_of[file]) - 1)] for file in files)
    outside = [f"{name} ({count:,})" for name, count in sorted(beside.items()) if splits.get(name) not in SPLITS]
    return [f"left out of {root.name}, in no split: {_names(outside)}"] if outside else []


def _pairs(splits: dict[str, str]) -> str:
    return _names([f"{name} is {split}" for name, split in splits.items() if split in SPLITS])


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + f" and {len(names) - MAX_NAMED} more" * (len(names) > MAX_NAMED)


def split_column(file: SourceFile, named: str, reading: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The column of a table that holds the split of each row, and the split that each of its values means; empty if none.

    `named` is the column that the user names, else it has one of the usual names and only values that are splits. `reading`
    is how `table_files.read_table` reads the file. Raises a `UserError` for a value of a named column that is no split.
    """
    header = [str(name) for name in next(table_files.read_table(file.path, **reading)).columns]
    if named:
        table_files.check_columns(file.path, header, [named])
    elif file.subset:
        return "", {}
    for name in [named] if named else [name for usual in COLUMN_NAMES for name in header if name.strip().lower() == usual]:
        values = set[str]()
        for block in table_files.read_table(file.path, [name], **reading):
            values |= {"" if missing else str(value) for value, missing in zip(block[name], block[name].isna(), strict=True)}
            if not named and len(values) > MAX_SPLIT_VALUES:
                break
        if splits := splits_of_values(values):
            return name, splits
        if named:
            shown = ", ".join(map(repr, sorted(values)[:MAX_NAMED]))
            raise UserError(f"{file.path}: the values of {named!r} are {shown}; expected train and test, perhaps validation")
    return "", {}


def check_train(layout: Layout, source: str) -> None:
    """Raise a `UserError` when every file is in a split and none of them is for training."""
    subsets = {file.subset for file in layout.files}
    if subsets and subsets <= {"validation", "test"}:
        words = ", ".join(word for word, split in SPLIT_WORDS.items() if split == "train" and word.isascii())
        raise UserError(
            f"{source} holds rows of {' and '.join(sorted(subsets))} only; name a file or folder for training ({words})"
        )
