"""The reference of each version: made once from rows that its model was not trained on, kept beside the request log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flows import settings
from flows.promotion import version_workspaces
from flows.registry import history, versions
from flows.request_log.records import use_case_folder
from tasks.core.errors import UserError
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import CHECKSUMS, Artifact, Table, read_split
from tasks.core.storage.atomic_files import hash_file, write_json
from tasks.inference.released_model import load_release
from tasks.monitoring.reference import Reference, build_reference

FOLDER = "references"
RELEASE = "release"
"""The name of a release that was never promoted, as in `vision@release`."""


def path_of(root: Path, use_case: str, name: str) -> Path:
    """The file of the reference of the version called `name`, such as vision@7."""
    return use_case_folder(root, use_case) / FOLDER / f"{name.partition('@')[2]}.json"


def read_reference(root: Path, use_case: str, name: str) -> Reference | None:
    """The reference of a version; None if there is none yet, or it was made for another release or by another version of it."""
    path = path_of(root, use_case, name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["checksums"] != _checksums(release_folder(root, use_case, name)):
            return None
        return Reference.from_json(content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure_reference(root: Path, use_case: str, name: str) -> Reference:
    """The reference of a version, made now if there is none. Raises a `UserError` if its rows are no longer here."""
    if reference := read_reference(root, use_case, name):
        return reference
    release = release_folder(root, use_case, name)
    folder = rows_folder(root, use_case, name)
    if folder is None:
        raise UserError(
            f"the rows that {name} was evaluated on are no longer here, so requests cannot be compared with them; "
            "`bonsai restore` of its run brings them back"
        )
    table = Table(Artifact(folder / "data" / use_case / "clean").open() / "rows")
    import pandas as pd

    rows = pd.concat([read_split(table, split) for split in EVALUATION_SPLITS], ignore_index=True)
    try:
        reference = build_reference(load_release(release, project=root), name, rows)
    except ValueError as error:
        raise UserError(f"{name} gets no reference: {error}") from None
    content = {"checksums": _checksums(release), **reference.as_json()}
    write_json(path_of(root, use_case, name), content)
    return reference


def champion_name(root: Path, use_case: str) -> str:
    """The name of the version that a server answers with: the champion, or the project's own release."""
    champion = history.read(root, use_case).at(history.CHAMPION)
    return champion.name if champion else f"{use_case}@{RELEASE}"


def release_folder(root: Path, use_case: str, name: str) -> Path:
    """The folder of a version's release; raises a `UserError` if there is none."""
    if name == f"{use_case}@{RELEASE}":
        folder = root / "data" / use_case / "release"
        if not (folder / CHECKSUMS).exists():
            raise UserError(f"{use_case} has neither a champion nor a release; `bonsai run {use_case}` makes one")
        return folder
    return versions.version_folder(root, history.read(root, use_case).find(name))


def rows_folder(root: Path, use_case: str, name: str) -> Path | None:
    """A workspace with the clean rows of a version's data."""
    if name == f"{use_case}@{RELEASE}":
        return root if (root / "data" / use_case / "clean" / CHECKSUMS).exists() else None
    return next(version_workspaces(root, history.read(root, use_case).find(name)), None)


def _checksums(folder: Path) -> str:
    return hash_file(folder / CHECKSUMS)


def main(use_cases: list[str]) -> int:
    """Make the references of the versions that answer now; what cannot be made is said on standard error."""
    root = settings.project_root()
    failed = 0
    for use_case in use_cases:
        try:
            ensure_reference(root, use_case, champion_name(root, use_case))
        except UserError as error:
            print(f"{use_case}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
