"""The list of a folder in the object cache names files inside the folder, or is refused."""

import json
from pathlib import Path

import pytest

from flows.dvc_state import object_cache
from tasks.core.errors import UserError

MD5 = "0123456789abcdef0123456789abcdef.dir"


def write_list(objects: Path, *names: str) -> None:
    path = object_cache.object_path(objects, MD5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"md5": "0" * 32, "relpath": name} for name in names]))


@pytest.mark.parametrize("name", ["../escaped.txt", "a/../../escaped.txt", "/etc/passwd", "..\\escaped.txt"])
def test_a_list_that_climbs_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    write_list(tmp_path, "inside.txt", name)
    with pytest.raises(UserError, match="a file outside of its folder; do not use the remote"):
        object_cache.check_folder_lists(tmp_path, [MD5])


def test_names_inside_a_folder_are_no_reason_to_refuse(tmp_path: Path) -> None:
    write_list(tmp_path, "a.txt", "rows/part-00000.parquet", "strange..name")
    object_cache.check_folder_lists(tmp_path, [MD5, "f" * 32])
