"""The recorded run that comes with the package, which pages show in a project without runs; and how it is recorded.

`python -m dashboard.readers.runs.sample_run runs/<id>` packs a finished run of the project as the sample.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from dashboard.readers.project_files import Unreadable
from flows.runs import record_file
from flows.system.state_files import encode
from tasks.core.storage.manifest import CHECKSUMS

SAMPLE = "sample"
"""Id that stands for it."""
ARCHIVE = Path(__file__).parents[2] / "sample" / "vision.zip"
USE_CASE = "vision"
FOLDER = Path(".bonsai") / "dashboard"
PACKED = (
    "run.json",
    "params.yaml",
    "journal/*.jsonl",
    "machine.jsonl",
    "data/*/raw/report.json",
    "data/*/clean/**/*",
    "data/*/augmented/**/*",
    "data/*/baselines/**/*",
    "data/*/model/*.json",
    "data/*/compressed/*/report.json",
    "data/*/compressed/*/model.onnx",
    "data/*/evaluations/**/*",
    "data/*/latency/**/*",
    "data/*/release/**/*",
)
"""The files of a run that pages read."""
FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive, so that equal files give an equal archive."""


def pack(run: Path, archive: Path = ARCHIVE) -> list[str]:
    """Write the files of a finished run that pages read; returns their names."""
    files = sorted({path for pattern in PACKED for path in run.glob(pattern) if path.is_file()})
    names = [path.relative_to(run).as_posix() for path in files]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(run).as_posix(), FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, _public_record(run, names) if path.name == record_file.RECORD_FILE else path.read_bytes())
    return names


def _public_record(run: Path, names: Collection[str]) -> bytes:
    """The run's record without who started it, on which host and build of the system, and by which process.

    It has the manifests of the artifacts that are packed whole: of the others some files, such as checkpoints, are left out.
    """
    record, _ = record_file.read(run)
    for stage in record["stages"].values():
        for path, out in stage.get("outs", {}).items():
            if f"{path}/{CHECKSUMS}" not in names:
                out.pop("manifest", None)
    requester = {"who": "Bonsai", "how": SAMPLE}
    machine = {**record["machine"], "host": "", "system": str(record["machine"].get("system", "")).partition("-")[0]}
    return encode({**record, "asked": requester, "machine": machine, "process": None, "prefect": {}})


def unpacked(root: Path, archive: Path = ARCHIVE) -> Path:
    """The folder of the sample in the project, unpacked if that has not happened yet; raises `Unreadable` without an archive."""
    if not archive.is_file():
        raise Unreadable("unreadable.missing", file=archive.name)
    folder = root / FOLDER / f"sample-{zlib.crc32(archive.read_bytes()):08x}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".sample.", suffix=".partial", dir=folder.parent))
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(partial)
        try:
            partial.rename(folder)
        except OSError:  # another session was faster
            shutil.rmtree(partial)
    return folder


if __name__ == "__main__":
    names = pack(Path(sys.argv[1]))
    print(f"packed {len(names)} files to {ARCHIVE}, {ARCHIVE.stat().st_size:,} bytes")
