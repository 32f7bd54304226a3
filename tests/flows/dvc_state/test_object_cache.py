"""The list of a folder in the object cache names files inside the folder, or is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from flows.dvc_state import object_cache
from tasks.core.errors import UserError


def write_list(objects: Path, *names: str) -> str:
    """Put the list of a folder with these files into the cache; returns its hash."""
    content = json.dumps([{"md5": "0" * 32, "relpath": name} for name in names]).encode()
    md5 = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
    path = object_cache.object_path(objects, md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


@pytest.mark.parametrize("name", ["../escaped.txt", "a/../../escaped.txt", "/etc/passwd", "..\\escaped.txt"])
def test_a_list_that_climbs_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    md5 = write_list(tmp_path, "inside.txt", name)
    with pytest.raises(UserError, match="a file outside of its folder; do not use the remote"):
        object_cache.check_folder_lists(tmp_path, [md5])


def test_names_inside_a_folder_are_no_reason_to_refuse(tmp_path: Path) -> None:
    names = ["a.txt", "rows/part-00000.parquet", "strange..name"]
    md5 = write_list(tmp_path, *names)
    object_cache.check_folder_lists(tmp_path, [md5, "f" * 32])
    assert list(object_cache.folder_files(tmp_path, md5)) == names


def test_a_list_that_differs_from_its_name_is_refused(tmp_path: Path) -> None:
    path = object_cache.object_path(tmp_path, write_list(tmp_path, "a.txt"))
    path.write_bytes(path.read_bytes().replace(b"a.txt", b"b.txt"))
    with pytest.raises(UserError, match="its content differs from its name"):
        object_cache.check_folder_lists(tmp_path, [object_cache.object_hash(path)])
