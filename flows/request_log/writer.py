"""Write the request log: whole parquet files, merged when they are many, deleted when they are too large together."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.request_log.records import SCHEMA, LogSettings, requests_folder, segments
from flows.system.file_locks import try_lock
from tasks.core.storage.atomic_files import flush_to_disk

MERGE_FILES = 32
"""With more small files than this, they are merged."""


class LogWriter:
    """Appends rows to the log of one use case. Several processes may write at the same time, each its own files.

    A file appears whole or not at all, so a process that is killed loses the rows that wait and damages nothing.
    """

    def __init__(self, root: Path, use_case: str, settings: LogSettings) -> None:
        self.root, self.use_case, self.settings = root, use_case, settings
        self.folder = requests_folder(root, use_case)
        self._rows: list[Mapping[str, Any]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row with columns of `SCHEMA`; those that it lacks are empty. Written to disk by a later `flush`."""
        self._rows.append(row)

    def flush(self) -> Path | None:
        """Write the waiting rows to a file of their own and keep the log within its bounds; returns the file's path.

        Rows that cannot be written, as on a full disk, are lost with the error that says so.
        """
        if not self._rows:
            return None
        rows, self._rows = self._rows, []  # also when the write fails: what waits must not grow for ever
        table = pa.table({name: [row.get(name) for row in rows] for name in SCHEMA.names}, schema=SCHEMA)
        path = _write(self.folder, table)
        self._bound()
        return path

    def _bound(self) -> None:
        """Merge small files and delete the oldest ones; one process does so at a time."""
        lock = try_lock(self.root / ".bonsai" / "locks" / f"request-log-{self.use_case}")
        if lock is None:
            return
        with lock:
            sizes = {path: size for path in segments(self.root, self.use_case) if (size := _size(path)) is not None}
            small = [path for path, size in sizes.items() if size < self.settings.file_bytes / 2]
            if len(small) > MERGE_FILES:
                self._merge(small, sizes)
            sizes = {path: size for path in segments(self.root, self.use_case) if (size := _size(path)) is not None}
            total = sum(sizes.values())
            for path in list(sizes)[:-1]:
                if total <= self.settings.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= sizes[path]
            for leftover in self.folder.glob(".*.partial"):
                if not Path(f"/proc/{leftover.name.split('.')[-2]}").exists():
                    leftover.unlink(missing_ok=True)

    def _merge(self, small: list[Path], sizes: Mapping[Path, int]) -> None:
        """Write the rows of small files to one, then delete them. A kill in between leaves rows twice, which readers drop."""
        chosen, size = list[Path](), 0
        for path in small:
            if size + sizes[path] > self.settings.file_bytes:
                break
            chosen.append(path)
            size += sizes[path]
        if len(chosen) > 1:
            tables = [pq.read_table(path, schema=SCHEMA) for path in chosen]
            _write(self.folder, pa.concat_tables(tables), stamp=chosen[0].name.partition("-")[0])
            for path in chosen:
                path.unlink(missing_ok=True)


def _write(folder: Path, table: pa.Table, stamp: str = "") -> Path:
    """Write a table to a new file, which has its name only once it is whole and on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stamp or time.time_ns()}-{os.getpid()}-{secrets.token_hex(3)}.parquet"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        pq.write_table(table, partial, compression="zstd")
        flush_to_disk(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    flush_to_disk(folder)
    return path


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # merged or deleted by another process
        return None
