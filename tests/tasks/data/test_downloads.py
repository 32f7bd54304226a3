"""A download is whole and true or it is not there, whatever the mirror, the net or another process does."""

import hashlib
import http.server
import multiprocessing
import re
import threading
import time
from contextlib import suppress
from typing import ClassVar

import pytest

from tasks.core.errors import UserError
from tasks.data.downloads import DATASETS_VARIABLE, DownloadError, DownloadLimits, _connected, _opener, download

CONTENT = bytes(range(256)) * 4000
TRUE = hashlib.sha256(CONTENT).hexdigest()


class Mirror(http.server.BaseHTTPRequestHandler):
    """Behaves by path: whole, whole-without-ranges, hangs-up, wrong, drips, redirects, announces too much, is not there."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self):
        behaviour = self.path.rpartition("/")[2]
        wanted = self.headers.get("Range", "")
        self.asked.append((behaviour, wanted))
        begin = int(wanted[6:-1]) if wanted and behaviour != "norange" else 0
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
        with suppress(ConnectionError):  # whoever asked may have had enough
            if behaviour == "hangsup":
                self.wfile.write(content[begin : begin + len(content) // 2])
            elif behaviour == "drips":
                for place in range(40):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(content[begin:])

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (DATASETS_VARIABLE, "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Mirror.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "bonsai" / "datasets" / "set"


def test_a_file_is_fetched_once_and_then_at_hand(mirror, folder):
    path = download((f"{mirror}/good",), TRUE, "set/file.gz")
    assert path == folder / "file.gz"
    assert path.read_bytes() == CONTENT
    assert download((f"{mirror}/good",), TRUE, "set/file.gz") == path
    assert len(Mirror.asked) == 1


def test_a_mirror_that_hangs_up_is_asked_for_the_rest(mirror, folder):
    assert download((f"{mirror}/hangsup",), TRUE, "set/file.gz").read_bytes() == CONTENT
    assert Mirror.asked == [("hangsup", ""), ("hangsup", f"bytes={len(CONTENT) // 2}-")]


def test_a_part_that_a_killed_process_left_is_gone_on_with(mirror, folder):
    folder.mkdir(parents=True)
    (folder / "file.gz.part").write_bytes(CONTENT[:1000])
    assert download((f"{mirror}/good",), TRUE, "set/file.gz").read_bytes() == CONTENT
    assert Mirror.asked == [("good", "bytes=1000-")]


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more", b"!" * 1000])
@pytest.mark.parametrize("behaviour", ["good", "norange"])
def test_a_part_of_another_version_does_no_harm(mirror, folder, left, behaviour):
    folder.mkdir(parents=True)
    (folder / "file.gz.part").write_bytes(left)
    assert download((f"{mirror}/{behaviour}",), TRUE, "set/file.gz").read_bytes() == CONTENT


def test_the_next_mirror_is_asked_when_one_fails(mirror, folder):
    assert download((f"{mirror}/missing", f"{mirror}/to-good"), TRUE, "set/file.gz").read_bytes() == CONTENT


def test_a_file_that_is_not_the_one_named_is_kept_aside_and_both_hashes_are_said(mirror, folder):
    with pytest.raises(UserError, match=f"expected sha256 {TRUE}, got [0-9a-f]{{64}}, kept as .*bad") as caught:
        download((f"{mirror}/wrong",), TRUE, "set/file.gz")
    assert DATASETS_VARIABLE in str(caught.value)
    assert not (folder / "file.gz").exists()
    assert (folder / "file.gz.bad").exists()


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("missing", "answers 404"),
        ("huge", "announces 10,000,000,000,000 bytes"),
        ("to-file", "file:///etc/passwd' is not allowed"),
        ("to-ftp", "redirects to ftp://x/y"),
    ],
)
def test_a_mirror_that_cannot_be_used_is_named_with_its_reason(mirror, folder, behaviour, said):
    with pytest.raises(UserError, match=re.escape(said)):
        download((f"{mirror}/{behaviour}",), TRUE, "set/file.gz")
    assert not (folder / "file.gz").exists()


def test_a_mirror_that_drips_is_given_up(mirror, folder):
    began = time.monotonic()
    with pytest.raises(UserError, match="is too slow"):
        download((f"{mirror}/drips",), TRUE, "set/file.gz", limits=DownloadLimits(read_timeout_s=0.3))
    assert time.monotonic() - began < 10


def test_a_mirror_that_never_ends_is_left_at_the_deadline(mirror, folder):
    with pytest.raises(UserError, match="took longer than 0 s"):
        download((f"{mirror}/drips",), TRUE, "set/file.gz", limits=DownloadLimits(deadline_s=0.2))


def test_no_mirror_and_no_folder_says_what_to_do(mirror):
    with pytest.raises(UserError, match=f"no mirror holds it.*put the file with sha256 {TRUE} into a folder"):
        download((), TRUE, "set/file.gz")


@pytest.mark.parametrize("place", ["set/file.gz", "file.gz", "other/file.gz"])
def test_a_folder_at_hand_is_looked_into_first(mirror, tmp_path, monkeypatch, place):
    (tmp_path / "mine" / place).parent.mkdir(parents=True)
    (tmp_path / "mine" / place).write_bytes(CONTENT)
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path / "mine"))
    assert download((), TRUE, "set/file.gz") == tmp_path / "mine" / place
    assert Mirror.asked == []


def test_a_file_at_hand_that_is_another_is_refused_with_both_hashes(mirror, tmp_path, monkeypatch):
    (tmp_path / "mine" / "set").mkdir(parents=True)
    (tmp_path / "mine" / "set" / "file.gz").write_bytes(b"other")
    monkeypatch.setenv(DATASETS_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(UserError, match=f"has sha256 {hashlib.sha256(b'other').hexdigest()}, expected {TRUE}"):
        download((f"{mirror}/good",), TRUE, "set/file.gz")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "192.168.1.1", "0.0.0.0"])
def test_no_address_of_a_private_network_is_connected_to(host):
    with pytest.raises(DownloadError, match="a private address"):
        _connected(host, 80, 1.0, loopback=False)


def test_only_http_is_spoken():
    with pytest.raises(DownloadError, match="neither http nor https"):
        _opener("file:///etc/passwd")


def _fetch(url: str, answers) -> None:
    answers.put(str(download((url,), TRUE, "set/file.gz")))


def test_two_processes_that_want_one_file_make_one_download(mirror, folder):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    both = [context.Process(target=_fetch, args=(f"{mirror}/good", answers)) for _ in range(2)]
    for process in both:
        process.start()
    assert {answers.get(timeout=60) for _ in both} == {str(folder / "file.gz")}
    for process in both:
        process.join()
    assert len(Mirror.asked) == 1
