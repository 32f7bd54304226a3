"""Data that stay in files while they are used: encoded pictures of a table, and memory-mapped arrays.

A process that reads a file has its pages in memory only as long as it wants to: they belong to the system's cache.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pandas import DataFrame

MEMORY_BYTES = 64 * 2**20
"""A table's columns of bytes are kept in memory up to this size, and in a file beyond it."""


class StoredBytes:
    """Bytes that lie in a file; `bytes(...)` reads them. A copy for another process holds the bytes themselves."""

    __slots__ = ("_file", "_length", "_offset")

    def __init__(self, file: _NamelessFile, offset: int, length: int) -> None:
        self._file, self._offset, self._length = file, offset, length

    def __bytes__(self) -> bytes:
        return os.pread(self._file.descriptor, self._length, self._offset)

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> tuple[Callable[[bytes], bytes], tuple[bytes]]:
        return bytes, (bytes(self),)


class _NamelessFile:
    """A file without a name, which is gone with this object."""

    def __init__(self, folder: Path) -> None:
        try:
            opened = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError:  # a folder that may only be read
            opened = tempfile.TemporaryFile()  # noqa: SIM115
        with opened as file:
            self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)


class ByteStore:
    """A file that ends with the last of the `StoredBytes` in it."""

    def __init__(self, folder: Path) -> None:
        self._file, self._end = _NamelessFile(folder), 0

    def store(self, rows: DataFrame) -> DataFrame:
        """The rows with their bytes in the file."""
        return rows.assign(**{name: [self._append(value) for value in rows[name]] for name in byte_columns(rows)})

    def _append(self, value: Any) -> Any:
        if not isinstance(value, bytes):
            return value
        stored = StoredBytes(self._file, self._end, len(value))
        view = memoryview(value)
        while view:
            view = view[os.pwrite(self._file.descriptor, view, self._end + len(value) - len(view)) :]
        self._end += len(value)
        return stored


def byte_columns(rows: DataFrame) -> list[str]:
    """The columns that hold bytes in memory, by their first value."""
    return [str(name) for name in rows if len(rows) and isinstance(rows[name].iloc[0], bytes)]


def size_of_bytes(rows: DataFrame) -> int:
    """The size of the columns of bytes."""
    return sum(int(rows[name].map(len).sum()) for name in byte_columns(rows))


_mapped: weakref.WeakSet[Any] = weakref.WeakSet()


def map_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A new memory-mapped array in a file."""
    array: Any = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    _mapped.add(array._mmap)
    return array


def release_pages() -> None:
    """Take the pages of all arrays of `map_array` out of this process's memory; they are read again when they are needed.

    Values that were written stay: a shared mapping leaves them to the system (Linux, madvise(2), MADV_DONTNEED).
    """
    for mapping in list(_mapped):
        if hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)
