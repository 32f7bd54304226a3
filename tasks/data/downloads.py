"""Files of the net: fetched once, checked by sha256, and never needed when a folder at hand holds them."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener, getproxies

from platformdirs import user_cache_path

from tasks.core.atomic_files import hash_file
from tasks.core.errors import UserError

DATASETS_VARIABLE = "BONSAI_DATASETS"
"""Names a folder that is looked into before the net is."""
ATTEMPTS = 3
"""Times one mirror is asked again when it hung up in the middle; each goes on where the last one ended."""
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """How patient and how trusting a download is."""

    deadline_s: float = 1800.0
    read_timeout_s: float = 30.0
    """Longest wait for the next byte, and the time after which a mirror's speed is judged."""
    min_bytes_per_s: float = 1024.0
    max_bytes: int = 4_000_000_000


class DownloadError(OSError):
    """A mirror that could not or must not be used; the message says why."""


def download(urls: tuple[str, ...], sha256: str, name: str, instead: str = "", limits: DownloadLimits | None = None) -> Path:
    """The file `name` (such as `mnist/train-labels-idx1-ubyte.gz`) with that sha256, from wherever it can be had.

    First the folder that `BONSAI_DATASETS` names, then the cache, then the mirrors in order. Two processes that want the
    same file make one download. Raises a `UserError` that says what each mirror answered, and what to do without a net
    (`instead` adds to that).
    """
    if found := _at_hand(sha256, name):
        return found
    limits = limits or DownloadLimits()
    place = user_cache_path("bonsai") / "datasets" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f".{place.name}.lock"), limits.deadline_s):
        if place.exists() and hash_file(place) == sha256:
            return place
        part, reasons = place.with_name(f"{place.name}.part"), list[str]()
        for url in urls * (2 if part.exists() else 1):  # what an earlier attempt left may be of another version
            try:
                _complete(url, part, limits)
            except (OSError, HTTPException) as error:
                reasons.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
                continue
            if (got := hash_file(part)) == sha256:
                _sync(part)
                part.replace(place)
                return place
            bad = place.with_name(f"{place.name}.bad")
            part.replace(bad)
            reasons.append(f"{url}: expected sha256 {sha256}, got {got}, kept as {bad}")
    raise UserError(
        f"{name} could not be had ({'; '.join(reasons) or 'no mirror holds it'}); "
        f"put the file with sha256 {sha256} into a folder and name that folder in {DATASETS_VARIABLE}{instead}"
    )


def _at_hand(sha256: str, name: str) -> Path | None:
    """The file in the folder that `BONSAI_DATASETS` names: under its path, its file name, or in any sub-folder."""
    if not os.environ.get(DATASETS_VARIABLE):
        return None
    folder = Path(os.environ[DATASETS_VARIABLE]).expanduser()
    if not folder.is_dir():
        raise UserError(f"{DATASETS_VARIABLE}={folder} is no folder; name one that holds data sets, or unset it")
    base, exact = name.rpartition("/")[2], folder / name
    for candidate in [exact, folder / base, *sorted(folder.glob(f"*/{base}"))]:
        if candidate.is_file():
            found = hash_file(candidate)
            if found == sha256:
                return candidate
            if candidate == exact:
                raise UserError(f"{candidate} has sha256 {found}, expected {sha256}; replace it, or unset {DATASETS_VARIABLE}")
    return None


@contextmanager
def _locked(path: Path, deadline_s: float) -> Iterator[None]:
    """Hold the file's lock, waiting for whoever else fetches it; the lock of a process that died is free."""
    until = time.monotonic() + deadline_s
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UserError(
                        f"another process has been fetching {path.stem[1:]} for {deadline_s:.0f} s; end it first"
                    ) from None
                time.sleep(0.1)
        yield


def _complete(url: str, part: Path, limits: DownloadLimits) -> None:
    """Bring `part` to its full length, going on where an earlier attempt, of this or another process, ended."""
    until = time.monotonic() + limits.deadline_s
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            _continue(url, part, before, limits, until)
            return
        except (OSError, HTTPException):
            moved = part.exists() and part.stat().st_size > before
            if attempt == ATTEMPTS or not moved or time.monotonic() > until:
                raise


def _continue(url: str, part: Path, have: int, limits: DownloadLimits, until: float) -> None:
    response, have = _asked(url, have, limits)
    with response:
        expected = have + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        if (expected or 0) > limits.max_bytes:
            raise DownloadError(f"announces {expected:,} bytes, at most {limits.max_bytes:,} are taken")
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            file.truncate()
            size = have + _copy(response, file, limits, until, limits.max_bytes - have)
    if expected is not None and size < expected:
        raise DownloadError(f"hung up after {size:,} of {expected:,} bytes")


def _asked(url: str, have: int, limits: DownloadLimits) -> tuple[HTTPResponse, int]:
    """The mirror's answer, and from which byte on it holds the file: not every mirror can go on in the middle."""
    headers = {"User-Agent": "bonsai", "Accept-Encoding": "identity"}
    try:
        asked = Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {}))
        response: HTTPResponse = _opener(url).open(asked, timeout=limits.read_timeout_s)
    except HTTPError as error:
        if error.code != 416 or not have:
            raise DownloadError(f"answers {error.code} {error.reason}") from None
        return _asked(url, 0, limits)  # the part here is longer than the file there: of another version
    except URLError as error:
        raise DownloadError(str(error.reason)) from None
    if response.status != 206:
        return response, 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise DownloadError("answers with another part than asked for")
    return response, have


def _copy(response: HTTPResponse, file: IO[bytes], limits: DownloadLimits, until: float, room: int) -> int:
    began, size = time.monotonic(), 0
    while chunk := response.read1(CHUNK_BYTES):
        file.write(chunk)
        size += len(chunk)
        now = time.monotonic()
        if size > room:
            raise DownloadError(f"sends more than {limits.max_bytes:,} bytes")
        if now > until:
            raise DownloadError(f"took longer than {limits.deadline_s:.0f} s")
        if now - began > limits.read_timeout_s and size < limits.min_bytes_per_s * (now - began):
            raise DownloadError(f"is too slow: {size:,} bytes in {now - began:.0f} s")
    return size


def _opener(url: str) -> OpenerDirector:
    """Opens http and https only, and no address of a private network, unless the URL itself names this machine."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("is neither http nor https")
    if urlsplit(url).scheme in getproxies():  # a proxy looks names up itself; what can be checked here are redirects
        return build_opener(_Redirects())
    loopback = _is_loopback(urlsplit(url).hostname or "")
    return build_opener(_Plain(loopback), _Secure(loopback), _Redirects())


class _Redirects(HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise DownloadError(f"redirects to {newurl}, which is neither http nor https")
        host = urlsplit(newurl).hostname or ""
        if _is_private(host) and not _is_loopback(urlsplit(req.full_url).hostname or ""):
            raise DownloadError(f"redirects to {newurl}, a private address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Connection(HTTPConnection):
    def __init__(self, *arguments: Any, loopback: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loopback = loopback

    def connect(self) -> None:
        self.sock = _connected(self.host, self.port, self.timeout, self.loopback)


class _SecureConnection(HTTPSConnection):
    def __init__(self, *arguments: Any, loopback: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loopback = loopback

    def connect(self) -> None:
        plain = _connected(self.host, self.port, self.timeout, self.loopback)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


class _Plain(HTTPHandler):
    def __init__(self, loopback: bool) -> None:
        super().__init__()
        self.loopback = loopback

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_Connection, loopback=self.loopback), req)


class _Secure(HTTPSHandler):
    def __init__(self, loopback: bool) -> None:
        super().__init__()
        self.loopback = loopback

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_SecureConnection, loopback=self.loopback), req)


def _connected(host: str, port: int, timeout: float | None, loopback: bool) -> socket.socket:
    """A connection to an address that was looked up once and checked, so that a name cannot change under the check."""
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if _is_private(address) and not (loopback and _is_loopback(address)):
            raise DownloadError(f"{host} is at {address}, a private address")
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError:
            continue  # the last address decides
    return socket.create_connection((addresses[-1], port), timeout)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
