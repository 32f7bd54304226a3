"""Register releases as numbered versions: a folder of its own for each, held by DVC's cache like every other artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.serialize import load_yaml

from flows.dvc_state import object_cache
from flows.dvc_state.stage_state import open_repo, read_lock_file
from flows.registry import history
from flows.registry.history import History, Version
from flows.reporting.console import one_line
from flows.system.provenance import code_version
from flows.system.state_files import read_state
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import CHECKSUMS, Artifact
from tasks.core.storage.atomic_files import hash_file


def version_folder(root: Path, version: Version) -> Path:
    """The folder with the release of a version, fetched from DVC's cache if it is not there. Its checksums are verified."""
    place = history.folder(root, version.use_case) / str(version.number)
    if not (place / CHECKSUMS).exists():
        with chdir(root), open_repo(root) as repo:
            try:
                repo.checkout([f"{place}.dvc"], force=True)
            except DvcException as error:
                raise UserError(
                    f"{version.name} is not in DVC's cache ({one_line(error)}); `dvc pull {place}.dvc` fetches it"
                ) from None
    return Artifact(place).open()


def register(root: Path, registered: History, release: Path, run: str, folder: Path) -> Version:
    """Copy a release to a new version, or return the version that has equal bytes. The caller is inside `history.writing`.

    `folder` is the workspace that made the release: the run's, or the project's own. Raises a `UserError` for a release
    without a model.
    """
    verdict = Artifact(release).json("verdict.json")
    if not verdict.get("released"):
        raise UserError(f"{run} released no model of {registered.use_case}: {verdict.get('reason', 'the contract is not kept')}")
    checksum = hash_file(release / CHECKSUMS)
    for version in registered.versions.values():
        if version.facts["checksums"] == checksum:
            return version
    place = history.folder(root, registered.use_case)
    taken = [*registered.versions, *(int(path.name) for path in place.glob("[0-9]*") if path.name.isdigit())]
    number = max(taken, default=0) + 1
    with Artifact(place / str(number)).draft() as draft:
        for path in release.iterdir():
            if path.name != CHECKSUMS:
                shutil.copyfile(path, draft / path.name)
    with chdir(root), open_repo(root) as repo:
        repo.add([str((place / str(number)).relative_to(root))])
    facts = {
        "version": number,
        "run": run,
        "released": verdict["released"],
        "verdict": verdict.get("verdict", "released"),
        "reason": verdict.get("reason", ""),
        **_score(release, verdict["released"]),
        "bytes": (release / "model.onnx").stat().st_size,
        "sha256": hash_file(release / "model.onnx"),
        "checksums": checksum,
        "data": _data_hash(folder, registered.use_case),
        "commit": _commit(folder) or code_version(root)["commit"],
    }
    history.append(root, registered, history.REGISTERED, **facts)
    return registered.versions[number]


def cached_hashes(root: Path) -> Iterator[str]:
    """The MD5 of the folder of each version, for the garbage collection."""
    for path in (root / history.FOLDER).glob("*/*.dvc"):
        for out in load_yaml(str(path)).get("outs", ()):
            if "md5" in out:
                yield str(out["md5"])


def is_cached(root: Path, version: Version) -> bool:
    """Whether DVC's cache has every file of a version."""
    path = history.folder(root, version.use_case) / f"{version.number}.dvc"
    outs = load_yaml(str(path))["outs"] if path.exists() else []
    return bool(outs) and not object_cache.missing_hashes(object_cache.objects_folder(root), [outs[0]["md5"]])


def _score(release: Path, name: str) -> dict[str, Any]:
    """The first metric of the released model on test rows, by name."""
    table = json.loads((release / "table.json").read_text(encoding="utf-8"))
    row: dict[str, Any] = next((each for each in table.get("rows", ()) if each.get("recipe") == name), {})
    return {"metric": row.get("metric", ""), "value": row.get("value")}


def _data_hash(folder: Path, use_case: str) -> str:
    """DVC's hash of the raw rows; empty if the workspace has none on record."""
    outs = read_lock_file(folder).get(f"fetch@{use_case}", {}).get("outs", ())
    return str(outs[0]["md5"]) if outs else ""


def _commit(folder: Path) -> str:
    """The commit of the code that a run used; empty if the workspace has no record of it."""
    try:
        code = read_state(folder / "run.json").get("code")
    except FileNotFoundError:
        return ""
    return str(code.get("commit") or "") if isinstance(code, dict) else ""
