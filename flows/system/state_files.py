"""State files: JSON objects that end with a checksum of all bytes before it, so that a damaged one is known and never used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import write_bytes

FORMAT, CHECKSUM = "format", "checksum"
VERSION = 2
"""The number in `format`; files of the first version have neither a number nor a checksum, and are still read."""
ENDING = re.compile(rb',\n  "checksum": "([0-9a-f]{64})"\n\}\n\Z')
MAX_BYTES = 64_000_000


class DamagedFile(UserError):
    """A state file that cannot be read or differs from its checksum. `path` is the file, `reason` says what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")
        self.path = path
        self.reason = reason


def encode(values: Mapping[str, Any]) -> bytes:
    """The content of a state file: the values as JSON with the number of the format first and the checksum last.

    Raises a `ValueError` for NaN and infinity.
    """
    text = json.dumps({FORMAT: VERSION, **values}, indent=2, allow_nan=False, ensure_ascii=False)
    content = text.removesuffix("\n}").encode()
    return content + f',\n  "{CHECKSUM}": "{sha256(content).hexdigest()}"\n}}\n'.encode()


def decode(content: bytes) -> dict[str, Any]:
    """The values in this content of a state file, without format and checksum; raises a `ValueError` that says what is wrong."""
    ending = ENDING.search(content[-200:])
    if ending and sha256(content[: len(content) - len(ending[0])]).hexdigest().encode() != ending[1]:
        raise ValueError("its content differs from its checksum")
    try:
        values = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    if not ending and (FORMAT in values or CHECKSUM in values):
        raise ValueError("its checksum is missing")
    return {name: value for name, value in values.items() if name not in (FORMAT, CHECKSUM)}


def write_state(path: Path, values: Mapping[str, Any]) -> None:
    """Write a state file atomically and flush it to the disk."""
    write_bytes(path, encode(values))


def read_state(path: Path) -> dict[str, Any]:
    """The values of a state file. Raises `FileNotFoundError` when there is none, `DamagedFile` when it cannot be trusted."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DamagedFile(path, f"it is larger than {MAX_BYTES // 1_000_000} MB")
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFile(path, f"it cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DamagedFile(path, str(error)) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no JSON")
