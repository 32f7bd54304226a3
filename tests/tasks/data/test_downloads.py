"""A download is complete and verified, or it is refused, whatever the mirror, the network or another process does."""

import hashlib
import http.server
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tasks.core.errors import UserError
from tasks.data.downloads import DATASETS_VARIABLE, DownloadLimits, download
from tasks.data.http_client import DownloadError, connect_to_public, url_opener

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Mirror(http.server.BaseHTTPRequestHandler):
    """Behaves by path: whole, whole-without-ranges, hangs-up, wrong, drips, redirects, announces too much, is not there."""

    requests: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        behaviour = self.path.rpartition("/")[2]
        range_header = self.headers.get("Range", "")
        self.requests.append((behaviour, range_header))
        begin = int(range_header[6:-1]) if range_header and behaviour != "norange" else 0
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour.startswith("to-"):
            self.send_response(302)
            self.send_header("Location", {"to-file": "file:///etc/passwd", "to-ftp": "ftp://x/y", "to-good": "/good"}[behaviour])
            self.end_headers()
            return
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        content = b"?" * len(CONTENT) if behaviour == "wrong" else CONTENT
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(10**13 if behaviour == "huge" else len(content) - begin))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have closed the connection
            if behaviour == "hangsup":
                self.wfile.write(content[begin : begin + len(content) // 2])
            elif behaviour == "drips":
                for place in range(40):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(content[begin:])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (DATASETS_VARIABLE, "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Mirror.requests = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    return tmp_path / "cache" / "bonsai" / "datasets" / "set"


def test_a_file_is_downloaded_once_and_then_cached(mirror: Any, folder: Any) -> None:
    path = download((f"{mirror}/good",), SHA256, "set/file.gz")
    assert path == folder / "file.gz"
    assert path.read_bytes() == CONTENT
    assert download((f"{mirror}/good",), SHA256, "set/file.gz") == path
    assert len(Mirror.requests) == 1


def test_a_transfer_that_breaks_off_is_resumed(mirror: Any, folder: Any) -> None:
    assert download((f"{mirror}/hangsup",), SHA256, "set/file.gz").read_bytes() == CONTENT
    assert Mirror.requests == [("hangsup", ""), ("hangsup", f"bytes={len(CONTENT) // 2}-")]


def test_a_partial_file_of_a_killed_process_is_resumed(mirror: Any, folder: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "file.gz.part").write_bytes(CONTENT[:1000])
    assert download((f"{mirror}/good",), SHA256, "set/file.gz").read_bytes() == CONTENT
    assert Mirror.requests == [("good", "bytes=1000-")]


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more", b"!" * 1000])
@pytest.mark.parametrize("behaviour", ["good", "norange"])
def test_a_partial_file_of_another_version_is_replaced(mirror: Any, folder: Any, left: Any, behaviour: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "file.gz.part").write_bytes(left)
    assert download((f"{mirror}/{behaviour}",), SHA256, "set/file.gz").read_bytes() == CONTENT


def test_the_next_mirror_is_tried_when_one_fails(mirror: Any, folder: Any) -> None:
    assert download((f"{mirror}/missing", f"{mirror}/to-good"), SHA256, "set/file.gz").read_bytes() == CONTENT


def test_a_file_with_another_hash_is_set_aside_and_both_hashes_are_named(mirror: Any, folder: Any) -> None:
    with pytest.raises(UserError, match=f"expected sha256 {SHA256}, got [0-9a-f]{{64}}, kept as .*bad") as caught:
        download((f"{mirror}/wrong",), SHA256, "set/file.gz")
    assert DATASETS_VARIABLE in str(caught.value)
    assert not (folder / "file.gz").exists()
    assert (folder / "file.gz.bad").exists()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("missing", "answers 404"),
        ("huge", "announces 10,000,000,000,000 bytes"),
        ("to-file", "file:///etc/passwd' is not allowed"),
        ("to-ftp", "redirects to ftp://x/y"),
    ],
)
def test_a_mirror_that_cannot_be_used_is_named_with_its_reason(mirror: Any, folder: Any, behaviour: Any, message: Any) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        download((f"{mirror}/{behaviour}",), SHA256, "set/file.gz")
    assert not (folder / "file.gz").exists()


def test_a_mirror_that_is_too_slow_is_given_up(mirror: Any, folder: Any) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match="is too slow"):
        download((f"{mirror}/drips",), SHA256, "set/file.gz", limits=DownloadLimits(read_timeout_s=0.3))
    assert time.monotonic() - started < 10


def test_a_mirror_that_never_ends_is_left_at_the_deadline(mirror: Any, folder: Any) -> None:
    with pytest.raises(UserError, match="took longer than 0 s"):
        download((f"{mirror}/drips",), SHA256, "set/file.gz", limits=DownloadLimits(deadline_s=0.2))


def test_no_mirror_and_no_folder_says_what_to_do(mirror: Any) -> None:
    with pytest.raises(UserError, match=f"no mirror holds it.*put the file with sha256 {SHA256} into a folder"):
        download((), SHA256, "set/file.gz")


@pytest.mark.parametrize("place", ["set/file.gz", "file.gz", "other/file.gz"])
def test_a_local_folder_is_searched_first(mirror: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any) -> None:
    (tmp_path / "mine" / place).parent.mkdir(parents=True)
    (tmp_path / "mine" / place).write_bytes(CONTENT)
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path / "mine"))
    assert download((), SHA256, "set/file.gz") == tmp_path / "mine" / place
    assert Mirror.requests == []


def test_a_local_file_with_another_hash_is_refused_with_both_hashes(
    mirror: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "set").mkdir(parents=True)
    (tmp_path / "mine" / "set" / "file.gz").write_bytes(b"other")
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(UserError, match=f"has sha256 {hashlib.sha256(b'other').hexdigest()}, expected {SHA256}"):
        download((f"{mirror}/good",), SHA256, "set/file.gz")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "192.168.1.1", "0.0.0.0"])
def test_no_address_of_a_private_network_is_connected_to(host: Any) -> None:
    with pytest.raises(DownloadError, match="a private address"):
        connect_to_public(host, 80, 1.0, loopback=False)


def test_only_http_and_https_are_allowed() -> None:
    with pytest.raises(DownloadError, match="neither http nor https"):
        url_opener("file:///etc/passwd")


def _fetch(url: str, answers: Any) -> None:
    answers.put(str(download((url,), SHA256, "set/file.gz")))


def test_two_processes_that_need_one_file_share_one_download(mirror: Any, folder: Any) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=_fetch, args=(f"{mirror}/good", answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert {answers.get(timeout=60) for _ in processes} == {str(folder / "file.gz")}
    for process in processes:
        process.join()
    assert len(Mirror.requests) == 1
