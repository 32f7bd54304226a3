"""Atomic writes: a file is replaced as a whole or left unchanged. And SHA-256 hashes of files and values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def write_json(path: Path, values: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON atomically, with keys in the order given. Raises a `ValueError` for NaN and infinity."""
    write_bytes(path, (json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically and flush them to the disk."""
    with _temporary_name(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    flush_to_disk(path.parent)


def write_parquet(path: Path, rows: DataFrame) -> None:
    """Write a parquet file atomically, so that a killed worker leaves no half of one. The same rows give the same bytes."""
    with _temporary_name(path) as partial:
        rows.to_parquet(partial, index=False, compression="zstd")


@contextmanager
def _temporary_name(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to. It is renamed to `path` when the block ends, and deleted when the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def hash_json(values: object) -> str:
    """The SHA-256 of JSON values, in hexadecimal; the order of keys does not matter."""
    return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def flush_to_disk(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
