"""A user's files are read completely, or refused in one line that names the error, the place and the nearest valid name."""

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.core.errors import UserError
from tasks.data import sources


def idx_bytes(values: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


PICTURES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.fixture
def images(tmp_path: Path) -> Any:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(PICTURES), mtime=0))
    return path


def test_an_idx_file_is_read_packed_or_plain(images: Any, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(idx_bytes(PICTURES))
    assert np.array_equal(sources.read_idx(images), PICTURES)
    assert np.array_equal(sources.read_idx(plain), PICTURES)


def test_an_idx_file_cut_anywhere_is_refused_by_name(images: Any) -> None:
    whole = images.read_bytes()
    for length in range(len(whole)):
        images.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
            sources.read_idx(images)


def test_a_plain_idx_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    path, whole = tmp_path / "labels", idx_bytes(PICTURES)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="labels"):
            sources.read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello, world", "is not an idx file"),
        (b"\x89PNG\r\n\x1a\n", "is not an idx file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "idx type 0x0d is not read"),
        (idx_bytes(PICTURES) + b"\0", "is longer than its header announces"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "at most 4,000,000,000 are read"),
    ],
)
def test_a_file_that_is_no_valid_idx_file_is_refused(tmp_path: Path, content: Any, message: Any) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        sources.read_idx(path)


def test_a_flipped_bit_in_a_compressed_file_is_detected(images: Any) -> None:
    whole = bytearray(images.read_bytes())
    whole[len(whole) // 2] ^= 4
    images.write_bytes(whole)
    with pytest.raises(UserError, match=r"damaged|cut short|header announces|not an idx"):
        sources.read_idx(images)


def test_pictures_without_their_labels_are_refused(images: Any) -> None:
    with pytest.raises(UserError, match=r"has no labels beside it; expected train-labels-idx1-ubyte\.gz"):
        list(sources.find_idx_pairs(images))


def test_a_mistyped_path_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"is not there; did you mean .*/reviews\.csv\?"):
        sources.existing_path(tmp_path / "review.csv")
    with pytest.raises(UserError, match="nor is its folder"):
        sources.existing_path(tmp_path / "no" / "such.csv")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.csv")
    with pytest.raises(UserError, match="is a named pipe"):
        sources.existing_path(tmp_path / "data.csv")


def test_a_device_is_refused() -> None:
    with pytest.raises(UserError, match="is a device"):
        sources.existing_path("/dev/zero")


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path: Path, target: Any) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret.png").write_bytes(b"x")
    (inside / "link.png").symlink_to(outside / "secret.png" if target == "file" else outside)
    with pytest.raises(UserError, match="is a link that leads out of"):
        sources.list_files(inside)


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in sources.list_files(tmp_path)] == ["a.png"]


@pytest.mark.parametrize(
    "junk",
    [
        *("@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/old.png", "@Recycle/old.png"),
        *("$RECYCLE.BIN/desktop.ini", "System Volume Information/IndexerVolumeGuid", "lost+found/1"),
        *("cat/Icon\r", "cat/thumbs.db", "cat/Thumbs.db", "cat/ehthumbs.db", "cat/Desktop.ini", "cat/.DS_Store", "cat/._1.jpg"),
        *("__MACOSX/cat/._1.jpg", "cat/~$loans.xlsx"),
    ],
)
def test_what_desktops_and_storage_devices_leave_in_folders_is_no_data(tmp_path: Path, junk: str) -> None:
    for name in ("cat/1.jpg", "icon/2.jpg", "recycle/3.jpg", junk):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in sources.list_files(tmp_path)] == [
        *("cat/1.jpg", "icon/2.jpg", "recycle/3.jpg")
    ]


def test_a_fingerprint_changes_with_a_name_or_a_byte_and_with_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "1.png").write_bytes(b"one")
    first = sources.fingerprint(folder)
    os.utime(folder / "cat" / "1.png", (0, 0))
    assert sources.fingerprint(folder) == first
    (folder / "cat" / "1.png").write_bytes(b"two")
    second = sources.fingerprint(folder)
    (folder / "cat" / "1.png").rename(folder / "cat" / "2.png")
    assert len({first, second, sources.fingerprint(folder)}) == 3


def test_data_that_changed_since_the_run_was_requested_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("a\n1\n")
    expected = sources.fingerprint(path)
    assert sources.verified_path(str(path), expected) == path
    path.write_text("a\n2\n")
    with pytest.raises(UserError, match=r"my\.csv changed since this run was requested"):
        sources.verified_path(str(path), expected)


def test_a_pattern_names_several_files_and_changes_with_each_of_them(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".c.csv", "notes.md"):
        (tmp_path / name).write_text("a\n1\n")
    paths = sources.matching_paths(tmp_path / "*.csv")
    assert [path.name for path in paths] == ["a.csv", "b.csv"]
    before = sources.fingerprint_of(paths)
    assert sources.verified_paths(str(tmp_path / "*.csv"), before) == paths
    (tmp_path / "b.csv").write_text("a\n2\n")
    with pytest.raises(UserError, match="changed since this run was requested"):
        sources.verified_paths(str(tmp_path / "*.csv"), before)
    with pytest.raises(UserError, match=r"no file matches .*\*\.tsv"):
        sources.matching_paths(tmp_path / "*.tsv")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("a\n1\n")
    (tmp_path / "data1.csv").write_text("a\n1\n")
    assert sources.matching_paths(tmp_path / "data[1].csv") == [tmp_path / "data[1].csv"]
