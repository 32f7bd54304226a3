"""A state file that differs in any byte from what was written is known as damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.system.state_files import DamagedFile, decode, encode, read_state, write_state

VALUES = {"state": "Completed", "stages": {"train@vision": {"wall_s": 1.5, "error": "é"}}}


def test_what_is_written_is_read_and_is_json_for_everybody(tmp_path: Path) -> None:
    write_state(tmp_path / "a.json", VALUES)
    assert read_state(tmp_path / "a.json") == VALUES
    assert {**VALUES, "format": 2}.items() <= json.loads((tmp_path / "a.json").read_text()).items()


def test_every_flipped_bit_and_every_cut_is_known() -> None:
    content = encode(VALUES)
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            with pytest.raises(ValueError, match=r"checksum|JSON|UTF-8"):
                decode(bytes(damaged))
        if position < len(content) - 1:
            with pytest.raises(ValueError, match=r"JSON|checksum|UTF-8"):
                decode(content[:position])


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": NaN}', b"[" * 100_000, b'{"format": 2}', b'{"checksum": "x"}', b"\xff"])
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"state\.json is damaged: "):
        read_state(path)


def test_a_file_of_the_first_version_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(VALUES))
    assert read_state(tmp_path / "old.json") == VALUES
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "none.json")
