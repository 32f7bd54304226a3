"""No module or package of the project hides an installed one."""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("package", ["flows", "dashboard"])
def test_no_module_hides_a_library_when_its_folder_comes_first_on_the_path(package: str) -> None:
    """The folder does when Prefect loads a flow, or Streamlit a page, by its file."""
    folder = REPOSITORY / package
    names = {path.stem for path in (*folder.glob("*.py"), *(init.parent for init in folder.glob("*/__init__.py")))} - {"__init__"}
    places = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]  # other tests change sys.path
    assert not {name for name in names if PathFinder.find_spec(name, places)} | (names & set(sys.builtin_module_names))
