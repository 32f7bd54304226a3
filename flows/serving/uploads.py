"""Uploaded tables, looked at before they are read: a small file may hold more rows or bytes than a request may ask for."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from flows.serving.requests import Limits, Refused

PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
ARCHIVES = (".xlsx", ".xlsm", ".npz")
"""Tables that are ZIP files inside."""


def safe_suffix(name: str) -> str:
    """The end of a file's name that tells its format, such as `.csv` or `.csv.gz`; nothing else of a client's name is used."""
    return "".join(re.sub(r"[^a-z0-9.]", "", suffix.lower()) for suffix in Path(name).suffixes[-2:])[:20]


def check_upload(path: Path, name: str, limits: Limits) -> None:
    """Raise `Refused` for a packed file, and for one that is larger than a request may be once it is unpacked.

    A file that cannot be read is left to its reader, which says what is wrong with it.
    """
    suffix = path.suffix.lower()
    if suffix in PACKED:
        raise Refused(422, "packed", f"{name[:80]} is packed; upload it as it is, a request's limits count its bytes")
    size, rows = 0, 0
    if suffix in ARCHIVES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    if suffix in (".parquet", ".pq"):
        size, rows = _parquet_size(path)
    if size > limits.body_bytes:
        raise Refused(413, "too_large", f"{name[:80]} has {size:,} bytes once it is unpacked; the most are {limits.body_bytes:,}")
    if rows > limits.rows:
        raise Refused(413, "too_many_rows", f"{name[:80]} has {rows:,} rows; {limits.rows:,} are the most of a request")


def _parquet_size(path: Path) -> tuple[int, int]:
    """The bytes and rows of a parquet file by its footer; none where that cannot be read."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:  # as in a bundle, where the reader says so
        return 0, 0
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return 0, 0
    return sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups)), footer.num_rows
