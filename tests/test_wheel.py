"""A wheel of the project holds everything that a run and the dashboard read."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tasks", "flows", "dashboard")
SUFFIXES = {".py", ".css", ".js", ".toml", ".svg", ".txt", ".zip"}


@pytest.mark.slow
def test_a_wheel_holds_every_module_page_style_and_text(tmp_path: Path) -> None:
    project, wheels = tmp_path / "project", tmp_path / "wheels"
    project.mkdir()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, project)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, project]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("bonsai-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        scripts = next(packed.read(entry).decode() for entry in names if entry.endswith("entry_points.txt"))
    files = [path for package in PACKAGES for path in (project / package).rglob("*") if path.suffix in SUFFIXES]
    expected = {path.relative_to(project).as_posix() for path in files}
    assert len([path for path in expected if path.startswith("dashboard/app_pages/")]) >= 10
    assert sorted(expected - names) == []
    assert sorted(name for name in names - expected if ".dist-info/" not in name) == []
    assert "bonsai = flows.cli.main:main" in scripts
