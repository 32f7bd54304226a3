"""Read rows of images from arrays, idx files, parquet files and folders with one sub-folder per class.

Each row holds `image` (encoded), `label` (str), `subset` (the split in the source, or empty), the most frequent height, width
and number of channels of the whole source, and `file` and `row` (a position from 0).
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data import array_files, layouts, remarks, sources
from tasks.data.layouts import SourceFile
from tasks.data.sampling import evenly_spaced_rows
from tasks.data.table_files import parquet_columns, read_table
from tasks.use_cases.vision import images, label_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.use_cases.vision.settings import ImageFetch

BLOCK_ROWS = 2500
MAX_BLOCK_BYTES = 32_000_000
MAX_IMAGE_BYTES = MAX_CIFAR_MEMBER_BYTES = 100_000_000
IMAGE_COLUMNS = ("image", "img", "jpeg", "png", "bytes")
LABEL_COLUMNS = ("label", "class", "target", "fine_label")
NOTE_SUFFIXES = (
    *(".txt", ".md", ".rst", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".html", ".pdf", ".ini", ".log", ".py", ".ipynb"),
    *(".mat", ".db", ".url", ".license"),
)
NOTE_NAMES = ("README", "LICENSE", "LICENCE", "CITATION", "NOTICE", "COPYING")
"""What stands beside images and is none, by the suffix of its name or by its name."""
PACKED = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz")
MAX_NAMED = 4
MAX_CHECKED_FILES = 16
"""Files that are opened before a run."""


def read_path(fetch: ImageFetch) -> Iterator[pd.DataFrame]:
    """Rows of the user's idx files, parquet files or folder of images by class; the format follows from the file names."""
    kind, layout = _own_layout(fetch)
    if kind == "idx":
        named = [(*pair, file.name, file.subset) for file in layout.files for pair in sources.find_idx_pairs(file.path)]
        return remarks.attach(from_idx(named, fetch.limit), layout.remarks)
    if kind == "arrays":
        return remarks.attach(_from_npz(layout.files, fetch.limit), layout.remarks)
    if kind == "tables":
        named_tables = [(file.path, file.name, file.subset) for file in layout.files]
        return remarks.attach(from_tables(named_tables, fetch.image, fetch.label, fetch.limit), layout.remarks)
    _check_classes(Path(fetch.path or fetch.train), layout.files)
    return remarks.attach(from_folder(layout.files, fetch.limit), layout.remarks)


def check_head(fetch: ImageFetch) -> None:
    """Raise a `UserError` for a source without classes, labels or columns of images, and if none of a few files is an image."""
    kind, layout = _own_layout(fetch)
    if kind == "idx":
        for file in layout.files:
            list(sources.find_idx_pairs(file.path))
        return
    if kind == "arrays":
        for file in layout.files:
            array_files.read_pictures(file.path)
        return
    if kind == "tables":
        for file in layout.files[:MAX_CHECKED_FILES]:
            names, _ = parquet_columns(file.path)
            _column(file.path, names, fetch.image, IMAGE_COLUMNS, "image")
            _column(file.path, names, fetch.label, LABEL_COLUMNS, "label")
        return
    place = Path(fetch.path or fetch.train)
    _check_classes(place, layout.files)
    (few,) = evenly_spaced_rows([len(layout.files)], MAX_CHECKED_FILES)
    faults = []
    for position in few:
        try:
            with layout.files[position].path.open("rb") as opened:
                images.open_image(opened)
        except images.UnreadableImage as error:
            faults.append(f"{layout.files[position].name} ({error})")
    if len(faults) == len(few):
        raise UserError(f"{place}: none of {len(few)} files looked at is an image ({', '.join(images.FORMATS)}): {faults[0]}")
    if len(classes := {file.label for file in layout.files if file.label}) == 1:
        raise UserError(
            f"{place}: all {len(layout.files):,} files are of the class {classes.pop()!r}; expected one sub-folder per class, "
            "or a table beside the images with a column of their names and one of their classes"
        )


def class_counts(fetch: ImageFetch) -> Counter[str]:
    """The number of files of each class, as folders or a table tell it; none for idx and parquet files."""
    kind, layout = _own_layout(fetch)
    labelled = (file.label for file in layout.files if file.label and file.subset in ("", "train"))
    return Counter(labelled) if kind == "folder" else Counter()


def _own_layout(fetch: ImageFetch) -> tuple[Literal["idx", "tables", "arrays", "folder"], layouts.Layout]:
    """The kind of the user's own source, and its files."""
    pairs = layouts.read_own(fetch, _is_idx_images)
    if pairs.files and all(map(_is_idx_images, (file.path for file in pairs.files))):
        return "idx", pairs
    tables = layouts.read_own(fetch, lambda path: path.suffix == ".parquet")
    if tables.files and all(file.path.suffix == ".parquet" for file in tables.files):
        return "tables", tables
    arrays = layouts.read_own(fetch, lambda path: path.suffix == ".npz")
    if arrays.files and all(file.path.suffix == ".npz" for file in arrays.files):
        return "arrays", arrays
    if packed := [file.path for file in arrays.files if file.path.suffix.lower() in PACKED]:
        raise UserError(f"{packed[0]} is an archive; unpack it and name the folder")
    pictures = layouts.read_own(fetch, lambda path: True, classes=True)
    if tables.files:
        raise UserError(
            f"{tables.files[0].path} is no source of images; expected an idx images file (its labels beside it), "
            "a .parquet or .npz file with images and labels, or a folder with one sub-folder per class"
        )
    pictures = label_tables.labelled_by_table(fetch, pictures) or _without_notes(pictures)
    layouts.check_train(pictures, fetch.path or fetch.train)
    return "folder", pictures


def _without_notes(layout: layouts.Layout) -> layouts.Layout:
    """The layout without files that are by their names no pictures, such as README.txt, unless there are no others."""
    notes = [file for file in layout.files if file.path.suffix.lower() in NOTE_SUFFIXES or file.path.stem.upper() in NOTE_NAMES]
    if not notes or len(notes) == len(layout.files):
        return layout
    listed = ", ".join(file.name for file in notes[:MAX_NAMED]) + f" and {len(notes) - MAX_NAMED} more" * (len(notes) > MAX_NAMED)
    left = tuple(file for file in layout.files if file not in notes)
    return layouts.Layout(left, (*layout.remarks, f"left out, no images by their names: {listed}"))


def _is_idx_images(path: Path) -> bool:
    return "images" in path.name and "idx3" in path.name


def from_arrays(
    pixels: NDArray[np.uint8], labels: NDArray[Any], file: str, subset: str, kept: NDArray[np.int64]
) -> Iterator[pd.DataFrame]:
    """Rows of images (N, H, W) or (N, C, H, W), encoded as PNG; only those at the positions `kept`."""
    for start in range(0, len(kept), BLOCK_ROWS):
        positions = kept[start : start + BLOCK_ROWS]
        yield _table(
            image=[images.encode_png(pixels[position]) for position in positions],
            label=[str(labels[position]) for position in positions],
            subset=subset,
            usual=(*pixels.shape[-2:], pixels.shape[1] if pixels.ndim == 4 else 1),
            file=file,
            row=positions,
        )


def from_cifar(archive: Path, limit: int) -> Iterator[pd.DataFrame]:
    """Rows of CIFAR-10's binary archive (https://www.cs.toronto.edu/~kriz/cifar.html): a label byte, then 3 x 32 x 32 bytes each.

    Only members with the expected names are read, and nothing is unpacked to disk.
    """
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(archive, "r:gz") as packed:
        members = {
            member.name.rpartition("/")[2]: member
            for member in packed
            if member.isfile() and member.size < MAX_CIFAR_MEMBER_BYTES
        }
        if missing := [name for name in names if name not in members]:
            raise UserError(f"{archive} holds no {missing[0]}; it is not CIFAR-10's binary version")
        opened = [packed.extractfile(members[name]) for name in names]
        batches = [np.frombuffer(file.read(), np.uint8).reshape(-1, 3073) for file in opened if file]
    kept = evenly_spaced_rows([len(batch) for batch in batches], limit)
    for name, batch, positions in zip(names, batches, kept, strict=True):
        subset = "test" if name.startswith("test") else "train"
        yield from from_arrays(batch[:, 1:].reshape(-1, 3, 32, 32), batch[:, 0], name, subset, positions)


def _from_npz(files: Sequence[SourceFile], limit: int) -> Iterator[pd.DataFrame]:
    """Rows of the arrays of .npz files."""
    arrays = [(file, *each) for file in files for each in array_files.read_pictures(file.path)]
    kept = evenly_spaced_rows([len(labels) for *_, labels in arrays], limit)
    for (file, name, subset, pixels, labels), positions in zip(arrays, kept, strict=True):
        yield from from_arrays(pixels, labels, f"{file.name}/{name}", file.subset or subset, positions)


def from_idx(pairs: Sequence[tuple[Path, Path, str, str]], limit: int) -> Iterator[pd.DataFrame]:
    """Rows of idx pairs, each (images, labels, name, subset)."""
    labels = [sources.read_idx(path) for _, path, _, _ in pairs]
    kept = evenly_spaced_rows([len(block_parts) for block_parts in labels], limit)
    for (path, labels_path, name, subset), values, positions in zip(pairs, labels, kept, strict=True):
        pixels = sources.read_idx(path)
        if pixels.ndim != 3 or values.ndim != 1:
            raise UserError(
                f"{path} and {labels_path.name} have the shapes {pixels.shape} and {values.shape}; expected (N, H, W) and (N,)"
            )
        if not pixels.size:
            raise UserError(f"{path} has the shape {pixels.shape}: its images have no pixels")
        if len(pixels) != len(values):
            raise UserError(
                f"{path} holds {len(pixels):,} images but {labels_path.name} {len(values):,} labels; they do not match"
            )
        yield from from_arrays(pixels, values, name, subset, positions)


def from_tables(tables: Sequence[tuple[Path, str, str]], image: str, label: str, limit: int) -> Iterator[pd.DataFrame]:
    """Rows of parquet files, each (path, name, subset). Images are bytes, or structs with a field `bytes` (Hugging Face)."""
    columns, counts = {}, []
    for path, _, _ in tables:
        names, count = parquet_columns(path)
        columns[path] = [_column(path, names, image, IMAGE_COLUMNS, "image"), _column(path, names, label, LABEL_COLUMNS, "label")]
        counts.append(count)
    kept = evenly_spaced_rows(counts, limit)

    def blocks(path: Path, positions: NDArray[np.int64]) -> Iterator[tuple[pd.DataFrame, list[bytes]]]:
        for frame in read_table(path, columns[path], binary=columns[path][:1]):
            frame = frame[frame["row"].isin(positions)] if limit else frame
            if len(frame):
                yield frame, [_encoded(value) for value in frame[columns[path][0]]]

    paths = list(zip(tables, kept, strict=True))
    usual = _usual_shape(data for (path, _, _), positions in paths for _, encoded in blocks(path, positions) for data in encoded)
    for (path, name, subset), positions in paths:
        for frame, encoded in blocks(path, positions):
            labels = [_label(value) for value in frame[columns[path][1]]]
            yield _table(image=encoded, label=labels, subset=subset, usual=usual, file=name, row=frame["row"].to_numpy())


def _check_classes(folder: Path, listed: Sequence[SourceFile]) -> None:
    """Raise a `UserError` for a source without files or classes, and for a folder of a class without a file."""
    if not listed:
        raise UserError(f"{folder} holds no files; expected one sub-folder per class with images in it")
    if not any(file.label for file in listed):
        raise UserError(
            f"{folder} holds {len(listed):,} files but no sub-folders with files; the name of its sub-folder is an image's "
            "class, or a table such as labels.csv beside the images has their names and classes"
        )
    filled = {parent for file in listed for parent in file.path.parents}
    classes = {file.label for file in listed}
    below = {parent for parent in filled if folder in parent.parents}
    for class_folder in sorted(parent for parent in below if parent.name in classes):
        for sibling in sorted(class_folder.parent.iterdir()):
            if not sibling.is_dir() or sibling in filled or sources.is_junk(sibling.name) or not sibling.name.isprintable():
                continue
            if not sources.list_files(sibling):
                raise UserError(f"{sibling} is a class without an image; add some, or remove the folder")


def from_folder(listed: Sequence[SourceFile], limit: int) -> Iterator[pd.DataFrame]:
    """Rows of the files of folders, or that a table names, each with its class."""
    (kept,) = evenly_spaced_rows([len(listed)], limit)
    listed = [listed[position] for position in kept]
    files = [file.path for file in listed]
    usual = _usual_shape(_open_each(files))
    sizes = np.array([path.stat().st_size for path in files])
    if (sizes > MAX_IMAGE_BYTES).any():
        raise UserError(f"{files[sizes.argmax()]} has {sizes.max():,} bytes; images of up to {MAX_IMAGE_BYTES:,} are read")
    for start, end in _block_bounds(sizes):
        block = listed[start:end]
        yield _table(
            image=[file.path.read_bytes() for file in block],
            label=[file.label for file in block],
            subset=[file.subset for file in block],
            usual=usual,
            file=[file.name for file in block],
            row=np.zeros(len(block), np.int64),
        )


def _open_each(files: Sequence[Path]) -> Iterator[IO[bytes]]:
    for path in files:
        with path.open("rb") as file:
            yield file


def _block_bounds(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Start and end of blocks of at most `BLOCK_ROWS` files and `MAX_BLOCK_BYTES` bytes; a larger file has its own block."""
    start, block_bytes = 0, 0
    for position, size in enumerate(sizes):
        if position > start and (position - start == BLOCK_ROWS or block_bytes + size > MAX_BLOCK_BYTES):
            yield start, position
            start, block_bytes = position, 0
        block_bytes += int(size)
    yield start, len(sizes)


def _table(
    *, image: list[bytes], label: list[str], subset: Any, usual: tuple[int, int, int], file: Any, row: Any
) -> pd.DataFrame:
    height, width, channels = usual
    sizes = {"usual_height": height, "usual_width": width, "usual_channels": channels}
    return pd.DataFrame({"image": image, "label": label, "subset": subset, **sizes, "file": file, "row": row})


def _usual_shape(encoded: Iterable[bytes | IO[bytes]]) -> tuple[int, int, int]:
    """The most frequent height, width and number of channels, by the images' headers; the larger one of equals."""
    sizes, channels = Counter[tuple[int, int]](), Counter[int]()
    for data in encoded:
        try:
            image = images.open_image(data)
        except images.UnreadableImage:
            continue  # the clean stage quarantines it with its reason
        sizes[image.height, image.width] += 1
        channels[1 if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;") else 3] += 1
    height, width = max(sizes, key=lambda size: (sizes[size], size), default=(1, 1))
    return height, width, max(channels, key=lambda count: (channels[count], count), default=1)


def _column(path: Path, names: Sequence[str], requested: str, aliases: Sequence[str], setting: str) -> str:
    if requested:
        if requested not in names:
            raise UserError(f"{path} has no column {requested!r} (fetch.{setting}); it has {', '.join(names)}")
        return requested
    for name in aliases:
        if name in names:
            return name
    raise UserError(f"{path} has no column {' or '.join(aliases)}; it has {', '.join(names)}: name one in fetch.{setting}")


def _encoded(value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else b""


def _label(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
