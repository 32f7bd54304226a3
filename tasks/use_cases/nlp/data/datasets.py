"""Read rows of texts: data sets by name, and the user's tables.

Each row holds `text`, `label`, `subset` (the split its source put it in, or empty), `truth` (the right label where the
source knows its own to be doubtful, else empty), `file`, `row` and `doubt` (see `table_files.read_table`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.core.errors import UserError
from tasks.data import layouts, remarks
from tasks.data.downloads import download
from tasks.data.sampling import evenly_spaced_rows
from tasks.data.table_files import BLOCK_ROWS, CUT_SHORT, NESTED, check_columns, read_table
from tasks.data.tables.text_lines import COMPRESSED, decompressed
from tasks.use_cases.nlp.data import text_folders

if TYPE_CHECKING:
    from tasks.use_cases.nlp.data.fetch_settings import TextFetch

COLUMNS = ("text", "label", "subset", "truth", "file", "row", "doubt")
TEXT_COLUMNS = ("text", "sentence", "content", "body", "review", "message", "tweet", "document")
LABEL_COLUMNS = ("label", "class", "category", "target", "topic", "sentiment", "class_index", "class index")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_NAME_CHARACTERS = 40
"""A longer name of a column is hardly one, but a text."""
MAX_CHECKED_FILES = 8
"""Tables whose columns are checked before a run."""
COLUMN_SEPARATOR = " . "
"""The text between two columns that are read as one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """How to read a table: the columns of text and label, the separator, and the quotation."""

    text: tuple[str, ...] = ()
    """Columns joined to one text; empty for the first of `TEXT_COLUMNS` in the file."""
    whole_text: str = ""
    """What the user wrote for `text`: one column, if the file has one of that name."""
    label: str = ""
    """Empty for the first of `LABEL_COLUMNS` in the file."""
    truth: str = ""
    names: tuple[str, ...] = ()
    """The columns of a file without a header."""
    separator: str = ""
    quotes: bool = True
    encoding: str = ""
    first: int = -1
    """The number of the first class where labels are numbers, -1 where they are names."""
    always: str = ""
    """The label of every line of a file with one sentence per line."""
    split: str = ""
    """The column with the split of each row; empty for none."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """The split that each value of the column `split` means."""

    @property
    def reading(self) -> dict[str, Any]:
        """How `table_files.read_table` reads the file."""
        return {"separator": self.separator, "names": self.names, "quotes": self.quotes, "encoding": self.encoding}


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file of a data set."""

    name: str
    sha256: str
    layout: TableLayout
    subset: str = ""


@dataclass(frozen=True, slots=True)
class TextDataset:
    """A data set by name: its classes in the order of their numbers, and its files."""

    classes: tuple[str, ...]
    parts: tuple[TextFile, ...] = ()


NEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
DATASETS = {
    "documentation": TextDataset(()),
    "ag_news": TextDataset(
        NEWS_CLASSES,
        (
            TextFile(
                "ag_news/train_20k_balanced.csv.xz",
                "7e852fdb7680d293b33158f8d66882cf55f1f23bf397c3de1c6c0c66913619eb",
                TableLayout(text=("title", "description"), label="class_index", first=1),
                "train",
            ),
            TextFile(
                "ag_news/train_12k_random.csv.xz",
                "a34cfb0bf96687b8a08b62e1852c2fedc99646512a1185d75ec751e9d70cf4b9",
                TableLayout(text=("Title", "Description"), label="Class Index", first=1),
                "train",
            ),
            TextFile(
                "ag_news/test.csv.xz",
                "b797f846079c25565eab8e6f9e407ee94f385662d04fd9d0c3b9f6008d0d022a",
                TableLayout(text=("title", "description"), label="class", names=("class", "title", "description"), first=1),
                "test",
            ),
        ),
    ),
    "noisy_10k": TextDataset(
        NEWS_CLASSES,
        (
            TextFile(
                "ag_news/noisy_10k.csv.xz",
                "973dfd2aac20b6f3a39e21ca27837cbbe5f22b3b0c58945ab803d72863cfecc5",
                TableLayout(text=("text",), label="label", truth="gt", first=0),
            ),
        ),
    ),
    "movie_reviews": TextDataset(
        ("negative", "positive"),
        (
            TextFile(
                "text/rt-polarity.neg.gz",
                "11eb15001bf7e045356a5b3ff74d38f9070a4a492e4913bcebe11a79561e74cf",
                TableLayout(always="negative"),
            ),
            TextFile(
                "text/rt-polarity.pos.gz",
                "58c5c5f7391e24de6a72f4a92c3822cee707655a89a8658d31c6e50597114023",
                TableLayout(always="positive"),
            ),
        ),
    ),
    "sms_spam": TextDataset(
        ("ham", "spam"),
        (
            TextFile(
                "text/SMSSpamCollection.gz",
                "8fd20918904042e5104c4d5d22642f1332b0bc670c55df3a8688a1ea7b2e9e8d",
                TableLayout(text=("text",), label="label", names=("label", "text"), separator="\t", quotes=False),
            ),
        ),
    ),
}
"""The data sets by name. `noisy_10k` has labels by vote of annotators, one in five wrong, and the correct ones; no mirror has
files with these checksums, so they must be in the folder that BONSAI_DATASETS names."""


def read_dataset(name: str, limit: int) -> Iterator[pd.DataFrame]:
    """The rows of a data set with files, at most `limit` of them evenly spread, 0 for all."""
    dataset = DATASETS[name]
    files = [(download((), part.sha256, part.name), part.name, part.subset, part.layout) for part in dataset.parts]
    return _read_files(files, dataset.classes, limit)


def read_path(fetch: TextFetch) -> Iterator[pd.DataFrame]:
    """The rows of the user's tables with the same columns, or of a folder of .txt files per class, one text each."""
    layout, are_tables = _own_layout(fetch)
    if not are_tables:
        return remarks.attach(text_folders.read_files(layout.files, fetch.limit), layout.remarks)
    files: list[SourceFile] = []
    notes = list(layout.remarks)
    classes = _classes_of_files(layout, fetch.layout)
    if classes:
        notes.append(f"one text per line, classes by file name: {', '.join(dict.fromkeys(classes.values()))}"[:200])
    for file in layout.files:
        if classes:
            files.append((file.path, file.name, file.subset, TableLayout(always=classes[file.name])))
            continue
        column, splits = layouts.split_column(file, fetch.split, fetch.layout.reading)
        notes += [f"own splits of {file.name} by its column {column}"] * bool(splits)
        files.append((file.path, file.name, file.subset, replace(fetch.layout, split=column, splits=splits)))
    return remarks.attach(_read_files(files, (), fetch.limit), notes)


def check_head(fetch: TextFetch) -> None:
    """Raise a `UserError` for a source without tables or folders of texts, and for a table without text or label."""
    layout, are_tables = _own_layout(fetch)
    for file in layout.files[:MAX_CHECKED_FILES] if are_tables and not _classes_of_files(layout, fetch.layout) else ():
        head = next(_read_blocks((file.path, file.name, "", fetch.layout)))
        _text_label_truth(file.path, list(head.columns), fetch.layout)


def _own_layout(fetch: TextFetch) -> tuple[layouts.Layout, bool]:
    """The files of the user's own source, and whether they are tables, not one text each."""
    tables = layouts.read_own(fetch, lambda path: bool(set(path.suffixes) & set(TABLE_SUFFIXES)))
    place = fetch.path or fetch.train
    if not tables.files:
        texts = layouts.read_own(fetch, lambda path: path.suffix.lower() == ".txt", classes=True)
        if len({file.label for file in texts.files if file.label}) > 1:
            layouts.check_train(texts, place)
            return texts, False
        tables = layouts.read_own(fetch, lambda path: path.suffix.lower() == ".txt")
    if not tables.files:
        raise UserError(
            f"{place} holds no table; expected files such as train.csv and test.csv ({', '.join(TABLE_SUFFIXES)}), "
            "or one folder per class with .txt files"
        )
    layouts.check_train(tables, place)
    return tables, True


def _classes_of_files(layout: layouts.Layout, table: TableLayout) -> dict[str, str]:
    """The class of each .txt file of a source that is named for one, as pos.txt and neg.txt are; empty where they are tables."""
    if table != TableLayout() or any(file.path.suffix.lower() != ".txt" for file in layout.files):
        return {}
    return text_folders.classes_by_file_name(layout.files, (*TEXT_COLUMNS, *LABEL_COLUMNS))


SourceFile = tuple[Path, str, str, TableLayout]
"""A file, its name in the rows, its subset, and how it is read."""


def _read_files(files: Sequence[SourceFile], classes: Sequence[str], limit: int) -> Iterator[pd.DataFrame]:
    kept = evenly_spaced_rows([sum(map(len, _read_blocks(source))) for source in files], limit) if limit else None
    for number, source in enumerate(files):
        _, _, subset, layout = source
        num_read, numbers = 0, {str(layout.first + place): name for place, name in enumerate(classes)}
        for frame in _read_blocks(source):
            texts, label, truth = _text_label_truth(source[0], list(frame.columns), layout)
            rows = pd.DataFrame(
                {
                    "text": [COLUMN_SEPARATOR.join(part for part in row if part) for row in _values(frame, texts)],
                    "label": [_label_name(value, numbers if layout.first >= 0 else {}) for (value,) in _values(frame, [label])],
                    "subset": [layout.splits[value] for (value,) in _values(frame, [layout.split])] if layout.split else subset,
                    "truth": [_label_name(value, numbers) for (value,) in _values(frame, [truth])] if truth else "",
                    "file": frame["file"],
                    "row": frame["row"],
                    "doubt": _doubt_column(frame, [*texts, label]),
                }
            )
            if kept is not None:
                rows = rows[pd.Series(range(num_read, num_read + len(rows))).isin(kept[number]).to_numpy()]
            num_read += len(frame)
            yield from remarks.attach([rows.reset_index(drop=True)], remarks.take(frame))


def _doubt_column(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series | str:
    """Why each row may be wrong, empty if it is sure: also a list or an object where a text or a label should be."""
    doubt = frame.get("doubt", "")
    for name, lines in frame.attrs.get(NESTED, {}).items():
        if name in columns:
            doubt = doubt.mask(frame["row"].isin(lines), f"nested: {name} is a list or an object, expected a text")
    return doubt


def _read_blocks(source: SourceFile) -> Iterator[pd.DataFrame]:
    path, name, _, layout = source
    if layout.always:
        return _read_lines(path, name, layout.always)
    return read_table(path, file_name=name, **layout.reading)


def _read_lines(path: Path, name: str, label: str) -> Iterator[pd.DataFrame]:
    """The lines of a file of sentences that are not blank.

    A byte that is not UTF-8 becomes U+FFFD, which the clean stage quarantines. A packed file that does not end with a line
    break may be cut short.
    """
    is_packed = path.suffix.lower() in COMPRESSED
    with decompressed(path) as file:
        block: list[tuple[str, str, str, int, str]] = []
        for number, data in enumerate(file, start=1):
            line = data.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
            if line.strip():
                doubt = CUT_SHORT if is_packed and not line.endswith("\n") else ""
                block.append((line.rstrip("\r\n"), label, name, number, doubt))
            if len(block) == BLOCK_ROWS:
                yield pd.DataFrame(block, columns=["text", "label", "file", "row", "doubt"])
                block = []
        if block:
            yield pd.DataFrame(block, columns=["text", "label", "file", "row", "doubt"])


def _text_label_truth(path: Path, header: list[str], layout: TableLayout) -> tuple[list[str], str, str]:
    """The columns of the text, the label and, if known, the true label."""
    names = [name for name in header if name not in ("file", "row", "doubt")]
    if layout.whole_text in names:  # one column whose name holds a comma
        layout = replace(layout, text=(layout.whole_text,))
    requested = [name for name in (*layout.text, layout.label, layout.truth) if name]
    check_columns(path, names, requested)
    texts = list(layout.text) or [_first_present(path, names, TEXT_COLUMNS, "text")]
    return texts, layout.label or _first_present(path, names, LABEL_COLUMNS, "label"), layout.truth


def _first_present(path: Path, names: list[str], aliases: Sequence[str], setting: str) -> str:
    for alias in aliases:
        for name in names:
            if name.lower() == alias:
                return name
    hint = f"name one in fetch.{setting}"
    if any(len(name) > MAX_NAME_CHARACTERS or name.replace(".", "", 1).isdigit() for name in names):
        hint = "does it begin with its rows? Then name all columns, as in fetch.columns=text,label"
    if names and names[0].startswith("__label__"):
        hint = "this is how fastText has it; put label and text into columns of their own"
    raise UserError(f"{path} has no column {' or '.join(aliases[:4])}; it has {', '.join(names)[:200]}: {hint}")


def _values(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the columns' values row by row, as text, empty where missing."""
    lists = [
        ["" if missing else str(value) for value, missing in zip(frame[name], frame[name].isna(), strict=True)]
        for name in columns
    ]
    return zip(*lists, strict=True)


def _label_name(value: str, numbers: dict[str, str]) -> str:
    name = re.sub(r"^(-?\d+)\.0$", r"\1", value.strip())
    return numbers.get(name, name)
