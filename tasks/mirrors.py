"""Files of the net: fetched once, checked by sha256, and never needed when a folder at hand holds them."""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path

from tasks.contracts import Mistake

LOCAL = "BONSAI_DATASETS"
"""Names a folder that is looked into before the net is."""


def download(urls: tuple[str, ...], sha256: str, name: str) -> Path:
    """The file `name` (a path such as `mnist/train-labels-idx1-ubyte.gz`) with that sha256, from wherever it can be had."""
    found = _at_hand(sha256, name)
    if found:
        return found
    raise Mistake(f"{name} is not at hand")


def _at_hand(sha256: str, name: str) -> Path | None:
    """The file in the folder that `BONSAI_DATASETS` names, under its path, its file name, or in any sub-folder."""
    if not os.environ.get(LOCAL):
        return None
    folder = Path(os.environ[LOCAL]).expanduser()
    if not folder.is_dir():
        raise Mistake(f"{LOCAL}={folder} is no folder; name one that holds data sets, or unset it")
    base = name.rpartition("/")[2]
    exact = folder / name
    for candidate in [exact, folder / base, *sorted(folder.glob(f"*/{base}"))]:
        if candidate.is_file():
            found = hash_file(candidate)
            if found == sha256:
                return candidate
            if candidate == exact:
                raise Mistake(f"{candidate} has sha256 {found}, expected {sha256}; replace it, or unset {LOCAL}")
    return None


def hash_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
