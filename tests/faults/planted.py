"""Planted defects: each takes one protection away, and the probes of the campaign must notice it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard import access
from dashboard.readers import project_files
from flows.dvc_state import object_cache
from flows.maintenance import remote
from flows.runs import record_file, record_schema, recovery, run_record, search
from flows.services import prefect_database
from flows.system import limits, state_files
from tasks.core import onnx_model, params_file
from tasks.core.errors import UserError
from tasks.core.storage import atomic_files, manifest
from tests.faults import attacks

RECORD = {"state": "Completed", "use_cases": ["toy"], "stages": {}}


def failures() -> Iterator[str]:
    """The names of the probes that find something wrong."""
    for name, attempt in attacks.corpus():
        try:
            if not attacks.refused(attempt):
                yield name
        except Exception as error:
            yield f"{name}: {type(error).__name__}"
    for probe in PROBES:
        with tempfile.TemporaryDirectory() as place:
            try:
                held = probe(Path(place))
            except (UserError, OSError, ValueError, KeyError):
                held = False
            if not held:
                yield probe.__name__


def flipped_record_is_known(place: Path) -> bool:
    content = state_files.encode(RECORD)
    return attacks.refused(lambda: state_files.decode(content.replace(b"toy", b"tox")))


def damaged_record_is_listed(place: Path) -> bool:
    (place / "runs" / "20260101-000000-toy-0000").mkdir(parents=True)
    (place / "runs" / "20260101-000000-toy-0000" / "run.json").write_text("{")
    return [run_record.state(run) for run in run_record.iter_runs(place)] == ["Damaged"]


def record_has_a_copy(place: Path) -> bool:
    record_file.write(place, RECORD)
    (place / "run.json").write_text("{")
    return bool(record_file.read(place)[0]["state"] == "Completed")


def damaged_annotation_pins(place: Path) -> bool:
    (place / "notes.json").write_text("{")
    return bool(search.read_annotation(place).pinned)


def write_is_whole_or_nothing(place: Path) -> bool:
    path = place / "a"
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        try:
            atomic_files.write_bytes(path, b"new")
        except OSError:
            return path.read_bytes() == b"old" and len(list(place.iterdir())) == 1
    return False


def write_is_flushed(place: Path) -> bool:
    flushed: list[int] = []
    real = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: (flushed.append(number), real(number))[1])
        atomic_files.write_bytes(place / "a", b"new")
    return len(flushed) == 2


def _full(number: int) -> None:
    raise OSError(28, "No space left on device")


def _artifact(place: Path) -> Path:
    (place / "a").write_text("content")
    manifest.write_manifest(place)
    return place


def flipped_artifact_is_known(place: Path) -> bool:
    (_artifact(place) / "a").write_text("contenu")
    return attacks.refused(lambda: manifest.verify(place))


def extra_file_is_known(place: Path) -> bool:
    (_artifact(place) / "b").write_text("x")
    return attacks.refused(lambda: manifest.verify(place))


def missing_file_is_known(place: Path) -> bool:
    (_artifact(place) / "a").unlink()
    return attacks.refused(lambda: manifest.verify(place))


def empty_manifest_is_known(place: Path) -> bool:
    (place / manifest.CHECKSUMS).write_text("{}")
    return attacks.refused(lambda: manifest.read_manifest(place))


def dashboard_checks_artifacts(place: Path) -> bool:
    clean = place / "data" / "toy" / "clean"
    clean.mkdir(parents=True)
    (_artifact(clean) / "a").write_text("contenu")
    return attacks.refused(lambda: project_files.check_artifact(place, clean / "a"))


def _object(place: Path, content: bytes, md5: str) -> Path:
    path = object_cache.object_path(place, md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def flipped_object_is_known(place: Path) -> bool:
    path = _object(place, b"hellp", "5d41402abc4b2a76b9719d911017c592")
    return object_cache.damaged_objects(place, ["5d41402abc4b2a76b9719d911017c592"]) == [path]


def flipped_list_is_known(place: Path) -> bool:
    listing = json.dumps([{"md5": "0" * 32, "relpath": "a"}]).encode()
    _object(place, listing, "0" * 32 + ".dir")
    return attacks.refused(lambda: object_cache.read_folder_list(place, "0" * 32 + ".dir"))


def damaged_database_is_set_aside(place: Path) -> bool:
    (place / ".prefect").mkdir()
    (place / ".prefect" / "prefect.db").write_bytes(b"x" * 5000)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_HOME", prefect_database.URL_VARIABLE):
            patch.delenv(name, raising=False)
        return bool(prefect_database.set_aside_if_damaged(place)) and not (place / ".prefect" / "prefect.db").exists()


def blocked_process_is_noticed(place: Path) -> bool:
    with subprocess.Popen(["sleep", "60"]) as process:
        time.sleep(0.2)  # until it has begun
        watch = limits.ProgressWatch(process.pid, 0.2)
        watch.note_event()
        time.sleep(0.3)
        stalled = watch.is_stalled()
        process.kill()
    return bool(stalled)


def pulled_run_is_not_trusted(place: Path) -> bool:
    (place / run_record.FOREIGN_FILE).write_text("{}")
    return attacks.refused(lambda: run_record.check_trust(run_record.Run(place, {}), "it runs"))


def clock_does_not_order_runs(place: Path) -> bool:
    class Request:
        use_cases = ("toy",)

    (place / "runs" / "21000101-000000-toy-0000").mkdir(parents=True)
    return run_record._new_id(place, Request()) > "21000101-000000"


def other_origins_page_sees_no_frame_headers_missing(place: Path) -> bool:
    return dict(access._added([]))[b"x-frame-options"] == b"SAMEORIGIN"


PROBES: tuple[Callable[[Path], bool], ...] = (
    flipped_record_is_known,
    damaged_record_is_listed,
    record_has_a_copy,
    damaged_annotation_pins,
    write_is_whole_or_nothing,
    write_is_flushed,
    flipped_artifact_is_known,
    extra_file_is_known,
    missing_file_is_known,
    empty_manifest_is_known,
    dashboard_checks_artifacts,
    flipped_object_is_known,
    flipped_list_is_known,
    damaged_database_is_set_aside,
    blocked_process_is_noticed,
    pulled_run_is_not_trusted,
    clock_does_not_order_runs,
    other_origins_page_sees_no_frame_headers_missing,
)


def _write_in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    atomic_files.flush_to_disk(path.parent)


def _skipping(root: Path, *, since: str = "") -> Iterator[Any]:
    return (run for name in run_record.run_ids(root) if (run := run_record._read(root / "runs" / name)) and run.is_readable)


def _initializers(message: Any) -> Iterator[Any]:
    return iter(message.graph.initializer)


def _any_list(content: bytes, path: Path) -> dict[str, str]:
    return {file["relpath"]: file["md5"] for file in json.loads(content)}


DEFECTS: dict[str, tuple[Any, str, Any]] = {
    "the checksum of a state file is not compared": (state_files, "decode", lambda content: json.loads(content)),
    "the copy of a record is not written": (record_file, "FINAL_STATES", ()),
    "damaged records are skipped": (run_record, "iter_runs", _skipping),
    "a damaged annotation is an empty one": (search, "read_annotation", lambda folder: search.RunAnnotation()),
    "any name of a stage is taken": (record_schema.STAGE_NAME, "", None),
    "any key finds a checkpoint": (recovery, "KEY", re.compile(".*", re.S)),
    "a file is written in place": (atomic_files, "write_bytes", _write_in_place),
    "a file is not flushed": (atomic_files, "flush_to_disk", lambda path: None),
    "hashes of artifacts are not compared": (manifest, "verify_file", lambda folder, name: folder / name),
    "extra files of an artifact are taken": (manifest, "listed_files", lambda folder: manifest.read_manifest(folder)),
    "names in a manifest may leave the folder": (manifest, "_is_inside", lambda name: True),
    "the dashboard checks no artifact": (project_files, "check_artifact", lambda root, path: None),
    "any name of a page is taken": (project_files, "slug", lambda name: name),
    "cached objects are believed": (object_cache, "is_intact", lambda path: True),
    "lists of folders are believed": (object_cache, "parse_folder_list", _any_list),
    "paths in lists may leave the folder": (object_cache, "_is_inside", lambda name: True),
    "every file of a remote is taken": (remote, "is_pushed_file", lambda path: True),
    "every id is pulled": (remote, "is_run_id", lambda name: True),
    "pulled runs are trusted": (run_record, "is_foreign", lambda folder: False),
    "every name is a word of a command": (params_file, "is_name", lambda name: True),
    "only initializers of ONNX files are looked at": (onnx_model, "_tensors", _initializers),
    "Prefect's database is believed": (prefect_database, "find_damage", lambda database: ""),
    "a blocked process is not noticed": (limits.ProgressWatch, "is_stalled", lambda self: False),
    "the clock orders runs": (run_record, "run_ids", lambda root: []),
    "every host reaches the dashboard": (access.Guard, "_reason_to_refuse", lambda self, scope, headers: ""),
    "every cookie opens the dashboard": (access.Guard, "_has_token", lambda self, headers: True),
    "half a token is enough": (access.Guard, "_is_token", lambda self, text: self.token.startswith(text)),
    "case of the token does not matter": (access.Guard, "_is_token", lambda self, text: self.token.lower() == text.lower()),
    "answers may be framed": (access, "HEADERS", {"x-frame-options": "ALLOWALL"}),
    "localhost and 127.0.0.1 are one origin": (access.Guard, "_addresses", lambda self: (self.address, "localhost", "127.0.0.1")),
}


def undetected() -> list[str]:
    """The planted defects that no probe finds; raises `AssertionError` when a probe fails without a defect."""
    wrong = list(failures())
    assert not wrong, wrong
    missed = []
    for name, (owner, attribute, replacement) in DEFECTS.items():
        with pytest.MonkeyPatch.context() as patch:
            if attribute:
                patch.setattr(owner, attribute, replacement)
            else:
                patch.setattr(record_schema, "STAGE_NAME", re.compile(".*", re.S))
            if next(failures(), None) is None:
                missed.append(name)
    return missed
