"""Where pictures come from, as rows: arrays, idx pairs, parquet files of encoded pictures, folders by class.

Each row holds `image` (encoded), `label` (str), `subset` (the split its source put it in, or empty), the height, width
and channels that are usual in the whole source, and `file` and `row` (a position from 0).
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.core.errors import UserError
from tasks.data import sources
from tasks.data.sampling import evenly_spaced_rows
from tasks.data.table_files import parquet_columns, read_table
from tasks.use_cases.vision import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 2500
MAX_BLOCK_BYTES = 64_000_000
MAX_IMAGE_BYTES = MAX_CIFAR_MEMBER_BYTES = 100_000_000
IMAGE_COLUMNS = ("image", "img", "jpeg", "png", "bytes")
LABEL_COLUMNS = ("label", "class", "target", "fine_label")


def read_path(place: Path, image: str, label: str, limit: int) -> Iterator[pd.DataFrame]:
    """Rows of a person's own idx files, parquet files or folder of pictures by class, told apart by what lies there."""
    if place.is_file():
        if "images" in place.name and "idx3" in place.name:
            return from_idx(
                [(*pair, pair[0].name, sources.split_in_name(pair[0].name)) for pair in sources.find_idx_pairs(place)], limit
            )
        if place.suffix == ".parquet":
            return from_tables([(place, place.name, "")], image, label, limit)
        raise UserError(
            f"{place} is no source of pictures; expected an idx images file (its labels beside it), "
            "a .parquet file with pictures and labels, or a folder with one sub-folder per class"
        )
    files = sources.list_files(place)
    pairs = list(sources.find_idx_pairs(place)) if any("images" in path.name and "idx3" in path.name for path in files) else []
    if pairs:
        named = [(*pair, pair[0].relative_to(place).as_posix(), sources.split_in_name(pair[0].name)) for pair in pairs]
        return from_idx(named, limit)
    tables = [path for path in files if path.suffix == ".parquet"]
    if tables:
        return from_tables(
            [(path, path.relative_to(place).as_posix(), sources.split_in_name(path.name)) for path in tables], image, label, limit
        )
    return from_folder(place, files, limit)


def from_arrays(
    pixels: NDArray[np.uint8], labels: NDArray[Any], file: str, subset: str, kept: NDArray[np.int64]
) -> Iterator[pd.DataFrame]:
    """Pictures (N, H, W) or (N, C, H, W), encoded as PNG; only the positions in `kept`."""
    for start in range(0, len(kept), BLOCK_ROWS):
        places = kept[start : start + BLOCK_ROWS]
        yield _table(
            image=[images.encode_png(pixels[place]) for place in places],
            label=[str(labels[place]) for place in places],
            subset=subset,
            usual=(*pixels.shape[-2:], pixels.shape[1] if pixels.ndim == 4 else 1),
            file=file,
            row=places,
        )


def from_cifar(archive: Path, limit: int) -> Iterator[pd.DataFrame]:
    """Rows of CIFAR-10's binary archive (https://www.cs.toronto.edu/~kriz/cifar.html): a label byte, then 3 x 32 x 32 bytes each.

    The members are read by their known names and nothing is unpacked to the disk.
    """
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(archive, "r:gz") as packed:
        found = {
            member.name.rpartition("/")[2]: member
            for member in packed
            if member.isfile() and member.size < MAX_CIFAR_MEMBER_BYTES
        }
        if missing := [name for name in names if name not in found]:
            raise UserError(f"{archive} holds no {missing[0]}; it is not CIFAR-10's binary version")
        opened = [packed.extractfile(found[name]) for name in names]
        batches = [np.frombuffer(file.read(), np.uint8).reshape(-1, 3073) for file in opened if file]
    kept = evenly_spaced_rows([len(batch) for batch in batches], limit)
    for name, batch, places in zip(names, batches, kept, strict=True):
        subset = "test" if name.startswith("test") else "train"
        yield from from_arrays(batch[:, 1:].reshape(-1, 3, 32, 32), batch[:, 0], name, subset, places)


def from_idx(pairs: Sequence[tuple[Path, Path, str, str]], limit: int) -> Iterator[pd.DataFrame]:
    """Rows of idx pairs, each (images, labels, name, subset)."""
    labels = [sources.read_idx(path) for _, path, _, _ in pairs]
    kept = evenly_spaced_rows([len(some) for some in labels], limit)
    for (path, labels_path, name, subset), values, places in zip(pairs, labels, kept, strict=True):
        pixels = sources.read_idx(path)
        if pixels.ndim != 3 or values.ndim != 1:
            raise UserError(
                f"{path} and {labels_path.name} have the shapes {pixels.shape} and {values.shape}; expected (N, H, W) and (N,)"
            )
        if len(pixels) != len(values):
            raise UserError(
                f"{path} holds {len(pixels):,} pictures but {labels_path.name} {len(values):,} labels; they do not match"
            )
        yield from from_arrays(pixels, values, name, subset, places)


def from_tables(tables: Sequence[tuple[Path, str, str]], image: str, label: str, limit: int) -> Iterator[pd.DataFrame]:
    """Rows of parquet files, each (path, name, subset); pictures are bytes, or structs with `bytes` as Hugging Face has."""
    columns, counts = {}, []
    for path, _, _ in tables:
        names, count = parquet_columns(path)
        columns[path] = [_column(path, names, image, IMAGE_COLUMNS, "image"), _column(path, names, label, LABEL_COLUMNS, "label")]
        counts.append(count)
    kept = evenly_spaced_rows(counts, limit)

    def blocks(path: Path, places: NDArray[np.int64]) -> Iterator[tuple[pd.DataFrame, list[bytes]]]:
        for frame in read_table(path, columns[path]):
            frame = frame[frame["row"].isin(places)] if limit else frame
            if len(frame):
                yield frame, [_encoded(value) for value in frame[columns[path][0]]]

    paths = list(zip(tables, kept, strict=True))
    usual = _usual_shape(data for (path, _, _), places in paths for _, encoded in blocks(path, places) for data in encoded)
    for (path, name, subset), places in paths:
        for frame, encoded in blocks(path, places):
            labels = [_label(value) for value in frame[columns[path][1]]]
            yield _table(image=encoded, label=labels, subset=subset, usual=usual, file=name, row=frame["row"].to_numpy())


def from_folder(place: Path, files: Sequence[Path], limit: int) -> Iterator[pd.DataFrame]:
    """Rows of a folder with one sub-folder per class, or of such folders named train, validation, test."""
    if not files:
        raise UserError(f"{place} holds no files; expected one sub-folder per class with pictures in it")
    found = [path.relative_to(place).parts for path in files]
    folders = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))
    depth = 1 if folders and all(sources.split_in_name(name) for name in folders) else 0
    loose = sum(len(parts) < depth + 2 for parts in found)
    if loose == len(found):
        raise UserError(
            f"{place} holds {loose:,} files but no sub-folders with files; the name of its sub-folder is a picture's class"
        )
    for folder in (
        [place / name for name in folders]
        if depth == 0
        else [path for name in folders for path in sorted((place / name).iterdir())]
    ):
        if folder.is_dir() and not any(folder in path.parents for path in files):
            raise UserError(f"{folder} is a class without a picture; put some there, or remove the folder")
    (kept,) = evenly_spaced_rows([len(files)], limit)
    files, found = [files[place] for place in kept], [found[place] for place in kept]
    usual = _usual_shape(_open_each(files))
    sizes = np.array([path.stat().st_size for path in files])
    if (sizes > MAX_IMAGE_BYTES).any():
        raise UserError(f"{files[sizes.argmax()]} has {sizes.max():,} bytes; pictures of up to {MAX_IMAGE_BYTES:,} are read")
    for start, end in _block_bounds(sizes):
        some = found[start:end]
        yield _table(
            image=[path.read_bytes() for path in files[start:end]],
            label=[parts[depth] if len(parts) > depth + 1 else "" for parts in some],
            subset=[sources.split_in_name(parts[0]) if depth else "" for parts in some],
            usual=usual,
            file=["/".join(parts) for parts in some],
            row=np.zeros(len(some), np.int64),
        )


def _open_each(files: Sequence[Path]) -> Iterator[IO[bytes]]:
    for path in files:
        with path.open("rb") as file:
            yield file


def _block_bounds(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Borders of blocks of at most `BLOCK_ROWS` files and, unless one alone is larger, `MAX_BLOCK_BYTES` bytes."""
    start, held = 0, 0
    for place, size in enumerate(sizes):
        if place > start and (place - start == BLOCK_ROWS or held + size > MAX_BLOCK_BYTES):
            yield start, place
            start, held = place, 0
        held += int(size)
    yield start, len(sizes)


def _table(
    *, image: list[bytes], label: list[str], subset: Any, usual: tuple[int, int, int], file: Any, row: Any
) -> pd.DataFrame:
    height, width, channels = usual
    sizes = {"usual_height": height, "usual_width": width, "usual_channels": channels}
    return pd.DataFrame({"image": image, "label": label, "subset": subset, **sizes, "file": file, "row": row})


def _usual_shape(encoded: Iterable[bytes | IO[bytes]]) -> tuple[int, int, int]:
    """The size (height, width) and the channels most pictures have, by their headers; of equals the larger."""
    sizes, channels = Counter[tuple[int, int]](), Counter[int]()
    for data in encoded:
        try:
            image = images.open_image(data)
        except images.UnreadableImage:
            continue  # judged, and quarantined with its reason, in the clean stage
        sizes[image.height, image.width] += 1
        channels[1 if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;") else 3] += 1
    height, width = max(sizes, key=lambda size: (sizes[size], size), default=(1, 1))
    return height, width, max(channels, key=lambda count: (channels[count], count), default=1)


def _column(path: Path, names: Sequence[str], wanted: str, usual: Sequence[str], setting: str) -> str:
    if wanted:
        if wanted not in names:
            raise UserError(f"{path} has no column {wanted!r} (fetch.{setting}); it has {', '.join(names)}")
        return wanted
    for name in usual:
        if name in names:
            return name
    raise UserError(f"{path} has no column {' or '.join(usual)}; it has {', '.join(names)}: name one in fetch.{setting}")


def _encoded(value: Any) -> bytes:
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else b""


def _label(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
