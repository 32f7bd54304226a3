"""The dashboard shows no file that differs from its artifact's manifest, and no manifest that differs from the run's record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from flows.runs import record_file, run_record
from tasks.core.storage.manifest import CHECKSUMS, root_hash, write_manifest
from tests.support import recorded_runs


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Those of a run whose record has the hash of the manifest of `clean`."""
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root)
    clean = folder / "data" / "vision" / "clean"
    write_manifest(clean)
    run = run_record.find(root, folder.name)
    run.record["stages"]["clean@vision"]["outs"] = {"data/vision/clean": {"md5": "0" * 32, "manifest": root_hash(clean)}}
    record_file.write(folder, run.record)
    return Artifacts(root, folder, "vision")


def test_an_intact_artifact_is_shown(artifacts: Artifacts) -> None:
    assert artifacts.quality_report().rows_in > 0
    assert len(artifacts.rows("clean/rows")) > 0


@pytest.mark.parametrize("name", ["clean/ledger.json", "clean/rows/part-00000.parquet"])
def test_a_flipped_byte_that_leaves_the_file_readable_is_not_shown(artifacts: Artifacts, name: str) -> None:
    path = artifacts.use_case_folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Unreadable, match=path.name):
        artifacts.quality_report() if name.endswith("json") else artifacts.rows("clean/rows")


@pytest.mark.parametrize(
    "change",
    [
        lambda clean: (clean / "rows" / "part-00001.parquet").write_bytes((clean / "rows" / "part-00000.parquet").read_bytes()),
        lambda clean: (clean / CHECKSUMS).write_text("{}"),
        lambda clean: (clean / CHECKSUMS).unlink(),
        lambda clean: ((clean / "ledger.json").write_text('{"kept": 3}'), (clean / CHECKSUMS).unlink(), write_manifest(clean)),
    ],
    ids=["an extra part", "an empty manifest", "no manifest", "another manifest"],
)
def test_an_artifact_that_is_not_what_the_run_made_is_not_shown(artifacts: Artifacts, change: Callable[[Path], object]) -> None:
    change(artifacts.use_case_folder / "clean")
    with pytest.raises(Unreadable, match="damaged"):
        artifacts.quality_report()
    with pytest.raises(Unreadable, match="damaged"):
        artifacts.rows("clean/rows")
