"""Artifacts are written atomically, and a flipped bit is detected."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.core.storage.artifacts import CHECKSUMS, Artifact, Table
from tasks.core.storage.atomic_files import write_bytes, write_json


@pytest.fixture
def artifact(tmp_path: Path) -> Any:
    artifact = Artifact(tmp_path / "clean")
    with artifact.draft() as draft:
        Table(draft / "rows").write(0, pd.DataFrame({"x": [1, 2], "image": [b"a", b"b"]}))
        Table(draft / "rows").write(1, pd.DataFrame({"x": [3], "image": [b"c"]}))
        write_json(draft / "ledger.json", {"kept": 3})
    return artifact


def test_what_is_written_is_read_back(artifact: Any) -> None:
    assert Table(artifact.open() / "rows").read()["x"].tolist() == [1, 2, 3]
    assert Table(artifact.open() / "rows").read()["image"].tolist() == [b"a", b"b", b"c"]
    assert artifact.json("ledger.json") == {"kept": 3}


def test_the_same_rows_give_the_same_bytes(artifact: Any, tmp_path: Path) -> None:
    again = Artifact(tmp_path / "again")
    with again.draft() as draft:
        Table(draft / "rows").write(0, pd.DataFrame({"x": [1, 2], "image": [b"a", b"b"]}))
        Table(draft / "rows").write(1, pd.DataFrame({"x": [3], "image": [b"c"]}))
        write_json(draft / "ledger.json", {"kept": 3})
    assert (again.path / CHECKSUMS).read_bytes() == (artifact.path / CHECKSUMS).read_bytes()


def test_a_stage_that_fails_leaves_the_old_artifact_and_no_draft(artifact: Any) -> None:
    def stage() -> None:
        with artifact.draft() as draft:
            write_json(draft / "ledger.json", {"kept": 0})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    assert artifact.json("ledger.json") == {"kept": 3}
    assert sorted(path.name for path in artifact.path.parent.iterdir()) == ["clean"]


def test_a_new_artifact_takes_the_place_of_the_old(artifact: Any) -> None:
    with artifact.draft() as draft:
        write_json(draft / "ledger.json", {"kept": 9})
    assert artifact.json("ledger.json") == {"kept": 9}
    assert not (artifact.path / "rows").exists()


def test_a_killed_stage_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from tasks.core.storage.artifacts import Artifact, write_json
        with Artifact(Path({str(tmp_path)!r}) / "clean").draft() as draft:
            write_json(draft / "ledger.json", {{"kept": 1}})
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "clean").exists()
    with Artifact(tmp_path / "clean").draft() as draft:
        write_json(draft / "ledger.json", {"kept": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


@pytest.mark.parametrize("name", ["rows/part-00001.parquet", "ledger.json"])
def test_a_flipped_bit_is_detected_at_the_next_load_and_named(artifact: Any, name: Any) -> None:
    path = artifact.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{Path(name).name} is damaged"):
        artifact.open()


def test_a_missing_file_is_named(artifact: Any) -> None:
    (artifact.path / "ledger.json").unlink()
    with pytest.raises(UserError, match=r"ledger\.json is missing"):
        artifact.open()


@pytest.mark.parametrize("name", ["rows/part-00002.parquet", "notes.txt", ".hidden"])
def test_a_file_that_no_stage_wrote_is_refused(artifact: Any, name: str) -> None:
    (artifact.path / name).write_bytes((artifact.path / "rows" / "part-00000.parquet").read_bytes())
    with pytest.raises(UserError, match=r"is not in checksums\.json: no stage wrote it"):
        artifact.open()


@pytest.mark.parametrize(
    "content", ["{}", "[]", "", "null", "3", '{"../x": "0"}', '{"ledger.json": "0"}', '{"ledger.json": 3}', "[" * 100_000]
)
def test_a_manifest_that_lists_no_files_with_their_hashes_is_refused(artifact: Any, content: str) -> None:
    (artifact.path / CHECKSUMS).write_text(content)
    with pytest.raises(UserError, match=r"checksums\.json is damaged"):
        artifact.open()
    (artifact.path / CHECKSUMS).unlink()
    with pytest.raises(UserError, match=r"checksums\.json is missing"):
        artifact.open()


def test_an_artifact_without_a_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no file"), Artifact(tmp_path / "empty").draft():
        pass
    assert not (tmp_path / "empty").exists()


def test_a_missing_artifact_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the stage that makes it"):
        Artifact(tmp_path / "raw").open()


def test_a_file_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"accuracy": float("nan")})
