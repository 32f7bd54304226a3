"""Files that a person uploads: kept in the project, read as the fetch and clean stages read them, made a use case."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dashboard.readers import bonsai_commands
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.project_files import Unreadable
from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.data import remarks, sources

if TYPE_CHECKING:
    from pandas import DataFrame

WAITING = Path(".bonsai") / "uploads"
"""Where uploads lie until a use case is made of them."""
KEPT = Path("uploads")
"""Where the files of use cases lie, in the project, so that the project can be moved as a whole."""
MAX_UNPACKED_BYTES = 4_000_000_000
MAX_PREVIEW_ROWS = 200
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
COLUMNS: dict[str, tuple[str, ...]] = {
    "vision": ("image", "label"),
    "nlp": ("text", "label"),
    "finance": ("date", "open", "high", "low", "close", "volume", "ticker"),
    "credit": ("label",),
}
"""The settings of `fetch` that name a column, by use case."""
PRICES = {"open", "high", "low", "close"}
TEXT_WORDS = 4
"""A column whose cells have at least this many words in the middle is one of texts."""
PROVENANCE = ("file", "row", "subset", "doubt", "kinds", "truth", "usual_height", "usual_width", "usual_channels")
"""Columns that the readers add to those of the source."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a source as the stages fetch and clean would read them."""

    rows: DataFrame
    """The raw rows, without where they come from."""
    remarks: list[str] = field(default_factory=list)
    """Sentences of the readers on how the source was understood."""
    classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """Rows that would be quarantined, by reason."""
    fixes: dict[str, int] = field(default_factory=dict)
    """Rows that would be repaired, by repair."""


def keep(root: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    """Write uploaded files (name, content) into the project; returns the file or folder that `fetch.path` would name.

    A zip file of pictures is unpacked. The same files give the same place. Raises `UserError` for a zip file that is damaged,
    too large, or leads out of its folder.
    """
    if not files:
        raise UserError("no file was uploaded")
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    folder = root / WAITING / digest.hexdigest()[:16]
    if not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in files:
            place = partial / safe_name(name)
            place.write_bytes(content)
            if place.suffix.lower() == ".zip" and _holds_pictures(place):
                _unpack(place, partial)
                place.unlink()
        partial.rename(folder)
    return _source(folder)


def _source(folder: Path) -> Path:
    """The only file or folder in a folder, as far down as there is only one; else the folder."""
    inside = [path for path in folder.iterdir() if not sources.is_junk(path.name)]
    if len(inside) == 1 and inside[0].is_file():
        return inside[0]
    if len(inside) == 1 and any(path.is_dir() for path in inside[0].iterdir()):
        return _source(inside[0])
    return folder


def safe_name(name: str) -> str:
    """The name of a file without folders and without characters that mean something to a shell or a pattern."""
    return re.sub(r"[^\w.-]+", "_", PurePosixPath(name.replace("\\", "/")).name).lstrip(".") or "file"


def _holds_pictures(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.lower().endswith(PICTURES) for name in packed.namelist())
    except zipfile.BadZipFile:
        raise UserError(f"{path.name} is damaged: no zip file can be read from it; pack it again") from None


def _unpack(path: Path, folder: Path) -> None:
    """Unpack a zip file of pictures below the folder; nothing may lie outside of it, and links are left out."""
    with zipfile.ZipFile(path) as packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir() and entry.external_attr >> 28 != 0xA]
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
            most = MAX_UNPACKED_BYTES // 1_000_000_000
            raise UserError(f"{path.name} is larger than {most} GB when unpacked; copy it to this machine and name its path")
        for entry in entries:
            parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
            if entry.filename.startswith("/") or ".." in parts:
                raise UserError(f"{path.name} names a file outside of its folder ({entry.filename}); pack it again")
            if any(sources.is_junk(part) for part in parts):
                continue
            place = folder.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(entry) as source, place.open("wb") as target:
                shutil.copyfileobj(source, target)


def columns_of(path: Path) -> list[str]:
    """The names of the columns of a table, or of the first table of a folder; none for pictures or what cannot be read."""
    from tasks.data.table_files import read_table

    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    if not files or files[0].suffix.lower() in PICTURES:
        return []
    try:
        first = next(iter(read_table(files[0])), None)
    except (UserError, UnicodeDecodeError):
        return []
    return [] if first is None else [str(name) for name in first.columns if name not in PROVENANCE]


def likely_use_case(path: Path) -> str:
    """The use case that a source is most likely for: pictures, prices, texts, or else a table."""
    from tasks.data.table_files import read_table

    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    if not files or files[0].suffix.lower() in PICTURES:
        return "vision"
    if files[0].suffix == ".parquet" and _has_bytes(files[0]):
        return "vision"
    try:
        rows = next(iter(read_table(files[0])), None)
    except (UserError, UnicodeDecodeError):
        return "credit"
    if rows is None:
        return "credit"
    if {str(name).strip().lower() for name in rows.columns} >= PRICES:
        return "finance"
    for name in rows.columns:
        words = sorted(len(cell.split()) for cell in rows[name].head(MAX_PREVIEW_ROWS) if isinstance(cell, str))
        if name not in PROVENANCE and words and words[len(words) // 2] >= TEXT_WORDS:
            return "nlp"
    return "credit"


def _has_bytes(path: Path) -> bool:
    """Whether a parquet file has a column of bytes, or of objects that hold some, as encoded pictures are stored."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def holds(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or (
            pa.types.is_struct(kind) and any(holds(part.type) for part in kind)
        )

    try:
        return any(holds(column.type) for column in pq.read_schema(path))
    except (pa.ArrowException, OSError):
        return False


def preview(template: str, path: Path, mapping: Mapping[str, str]) -> Preview:
    """How the stages would read the source with these columns; raises `UserError` with what is wrong with it."""
    fetch = {"source": "path", "path": str(path), **{name: column for name, column in mapping.items() if column}}
    case = registry.build("use_cases", template, {**params_file.default_stanza(), "fetch": fetch}, where="fetch")
    case.check_head()
    limited = replace(case, fetch=replace(case.fetch, limit=MAX_PREVIEW_ROWS))
    blocks = iter(limited.load())
    rows = next((block for block in blocks if len(block)), None)
    if rows is None:
        raise UserError(f"{path.name} holds no rows")
    notes = remarks.take(rows)
    rows = rows.head(MAX_PREVIEW_ROWS)
    cleaned = case.clean_partition(rows)
    label = case.label_column(rows)
    return Preview(
        rows=rows.drop(columns=[name for name in PROVENANCE if name in rows]),
        remarks=notes,
        classes=_counts(rows[label].astype(str)) if label in rows else {},
        splits={name: count for name, count in _counts(rows["subset"].astype(str)).items() if name} if "subset" in rows else {},
        faults={name: count for name, count in _counts(cleaned["fault"].astype(str)).items() if name},
        fixes={
            name: count
            for name, count in _counts(list(chain.from_iterable(text.split("; ") for text in cleaned["fix"].astype(str)))).items()
            if name
        },
    )


def create(root: Path, name: str, template: str, path: Path, mapping: Mapping[str, str]) -> str:
    """Make a use case of an upload, as `bonsai new` does, with its files in the project; returns its name.

    Raises `CommandError` with the reason, and then nothing has changed.
    """
    source, moved = path, None
    if path.is_relative_to(root / WAITING):
        waiting = root / WAITING / path.relative_to(root / WAITING).parts[0]
        moved = root / KEPT / safe_name(name)
        if moved.exists():
            raise CommandError(f"there is a folder {moved.relative_to(root)} already; choose another name")
        moved.parent.mkdir(exist_ok=True)
        waiting.rename(moved)
        source = moved / path.relative_to(waiting)
    settings = {"fetch.path": str(source), **{f"fetch.{key}": column for key, column in mapping.items() if column}}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    try:
        done = bonsai_commands.run(root, "new", name, "--from", template, *options)
        if done.returncode:
            raise CommandError((done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
    except CommandError:
        if moved:
            moved.rename(waiting)
        raise
    importlib.invalidate_caches()
    return name


def suggested_name(path: Path) -> str:
    """A name for a use case of this source: a lower-case identifier from the file's own name."""
    stem = re.sub(r"[^a-z0-9]+", "_", path.name.partition(".")[0].lower()).strip("_")
    name = stem if stem[:1].isalpha() else f"my_{stem}".rstrip("_")
    taken = registry.registered_names("use_cases")
    return name if name not in taken else f"my_{name}"


def local_path(text: str) -> Path:
    """A file or folder on this machine that a person names; raises `Unreadable` if there is none."""
    path = Path(text).expanduser()
    if not path.is_absolute() or not path.exists():
        raise Unreadable("own_data.no_path", path=text)
    return path


def _counts(values: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))
