"""Download a file once and verify its SHA-256; a local dataset folder is searched first."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request

from platformdirs import user_cache_path

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import flush_to_disk, hash_file
from tasks.data.http_client import DownloadError, url_opener

DATASETS_VARIABLE = "BONSAI_DATASETS"
"""The environment variable that names a local folder with data sets."""
ATTEMPTS = 3
"""The most attempts per mirror when a transfer breaks off. Each attempt resumes where the last one ended."""
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """Limits on the time and size of a download."""

    deadline_s: float = 1800.0
    read_timeout_s: float = 30.0
    """The longest wait for the next byte, and the time after which `min_bytes_per_s` is checked."""
    min_bytes_per_s: float = 1024.0
    max_bytes: int = 4_000_000_000


def download(urls: tuple[str, ...], sha256: str, name: str, hint: str = "", limits: DownloadLimits | None = None) -> Path:
    """The path of the file `name` (such as `mnist/train-labels-idx1-ubyte.gz`) with that SHA-256.

    It is searched in the folder that `BONSAI_DATASETS` names, then in the cache, then on the mirrors in order. A lock makes
    processes that need the same file share one download. Raises a `UserError` with each mirror's error and a remedy, to
    which `hint` is appended.
    """
    if local := _find_local_file(sha256, name):
        return local
    limits = limits or DownloadLimits()
    place = user_cache_path("bonsai") / "datasets" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f".{place.name}.lock"), limits.deadline_s):
        if place.exists() and hash_file(place) == sha256:
            return place
        part, reasons = place.with_name(f"{place.name}.part"), list[str]()
        for url in urls * (2 if part.exists() else 1):  # the partial file may be of another version; then try again without it
            try:
                _download_with_retries(url, part, limits)
            except (OSError, HTTPException) as error:
                reasons.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
                continue
            if (got := hash_file(part)) == sha256:
                flush_to_disk(part)
                part.replace(place)
                return place
            bad = place.with_name(f"{place.name}.bad")
            part.replace(bad)
            reasons.append(f"{url}: expected sha256 {sha256}, got {got}, kept as {bad}")
    raise UserError(
        f"{name} could not be downloaded ({'; '.join(reasons) or 'no mirror holds it'}); "
        f"put the file with sha256 {sha256} into a folder and name that folder in {DATASETS_VARIABLE}{hint}"
    )


def _find_local_file(sha256: str, name: str) -> Path | None:
    """The file in the folder that `BONSAI_DATASETS` names: at its path, by its file name, or in any sub-folder."""
    if not os.environ.get(DATASETS_VARIABLE):
        return None
    folder = Path(os.environ[DATASETS_VARIABLE]).expanduser()
    if not folder.is_dir():
        raise UserError(f"{DATASETS_VARIABLE}={folder} is no folder; name one that holds data sets, or unset it")
    base, exact = name.rpartition("/")[2], folder / name
    for candidate in [exact, folder / base, *sorted(folder.glob(f"*/{base}"))]:
        if candidate.is_file():
            actual = hash_file(candidate)
            if actual == sha256:
                return candidate
            if candidate == exact:
                raise UserError(f"{candidate} has sha256 {actual}, expected {sha256}; replace it, or unset {DATASETS_VARIABLE}")
    return None


@contextmanager
def _locked(path: Path, deadline_s: float) -> Iterator[None]:
    """Hold a lock on the file while the block runs. The system releases the lock of a process that dies."""
    deadline = time.monotonic() + deadline_s
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process has been fetching {path.stem[1:]} for {deadline_s:.0f} s; end it first"
                    ) from None
                time.sleep(0.1)
        yield


def _download_with_retries(url: str, part: Path, limits: DownloadLimits) -> None:
    """Download `url` to `part`, resuming where an earlier attempt of this or another process ended."""
    deadline = time.monotonic() + limits.deadline_s
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            _resume(url, part, before, limits, deadline)
            return
        except (OSError, HTTPException):
            progressed = part.exists() and part.stat().st_size > before
            if attempt == ATTEMPTS or not progressed or time.monotonic() > deadline:
                raise


def _resume(url: str, part: Path, offset: int, limits: DownloadLimits, deadline: float) -> None:
    response, offset = _request(url, offset, limits)
    with response:
        expected = offset + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        if (expected or 0) > limits.max_bytes:
            raise DownloadError(f"announces {expected:,} bytes, at most {limits.max_bytes:,} are taken")
        with part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.truncate()
            size = offset + _copy(response, file, limits, deadline, limits.max_bytes - offset)
    if expected is not None and size < expected:
        raise DownloadError(f"closed the connection after {size:,} of {expected:,} bytes")


def _request(url: str, offset: int, limits: DownloadLimits) -> tuple[HTTPResponse, int]:
    """The response, and the byte it begins at: 0 when the mirror does not support ranges."""
    headers = {"User-Agent": "bonsai", "Accept-Encoding": "identity"}
    try:
        request = Request(url, headers=headers | ({"Range": f"bytes={offset}-"} if offset else {}))
        response: HTTPResponse = url_opener(url).open(request, timeout=limits.read_timeout_s)
    except HTTPError as error:
        if error.code != 416 or not offset:
            raise DownloadError(f"answers {error.code} {error.reason}") from None
        return _request(url, 0, limits)  # the partial file is longer than the mirror's file: another version
    except URLError as error:
        raise DownloadError(str(error.reason)) from None
    if response.status != 206:
        return response, 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise DownloadError("answers with another range than requested")
    return response, offset


def _copy(response: HTTPResponse, file: IO[bytes], limits: DownloadLimits, deadline: float, max_size: int) -> int:
    started, size = time.monotonic(), 0
    while chunk := response.read1(CHUNK_BYTES):
        file.write(chunk)
        size += len(chunk)
        now = time.monotonic()
        if size > max_size:
            raise DownloadError(f"sends more than {limits.max_bytes:,} bytes")
        if now > deadline:
            raise DownloadError(f"took longer than {limits.deadline_s:.0f} s")
        if now - started > limits.read_timeout_s and size < limits.min_bytes_per_s * (now - started):
            raise DownloadError(f"is too slow: {size:,} bytes in {now - started:.0f} s")
    return size
