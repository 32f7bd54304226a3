"""Resume a killed fit: its whole state in one file that is written atomically and verified by checksum.

The file's name carries its SHA-256, because neither safetensors nor torch notices a flipped bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.core.storage import file_backed
from tasks.core.storage.atomic_files import write_bytes

MAX_STATES = 2
"""The newest states that are kept; older ones are deleted."""


@dataclass(frozen=True, slots=True)
class FitState:
    """Everything that the remaining steps depend on: tensors by name, and plain JSON values."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FitStateStore:
    """The saved states of one fit, in a folder of their own."""

    folder: Path

    def write(self, state: FitState) -> None:
        """Write `state` atomically, then delete all but the newest `MAX_STATES`."""
        from safetensors.torch import save

        header = json.dumps({"step": state.step, "values": state.values})
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}, {"about": header})
        write_bytes(self.folder / f"{state.step:010d}-{sha256(content).hexdigest()}.safetensors", content)
        for old in self._files()[:-MAX_STATES]:
            old.unlink()

    def read(self) -> tuple[FitState | None, list[str]]:
        """The newest undamaged state, or None, and a message for each damaged file that was skipped."""
        from safetensors.torch import load

        errors = []
        for path in reversed(self._files()):
            content = path.read_bytes()
            if sha256(content).hexdigest() != path.stem.partition("-")[2]:
                errors.append(f"{path} is damaged (its sha256 is not the one in its name); going on from an earlier state")
                continue
            metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
            header = json.loads(metadata["about"])
            return FitState(header["step"], load(content), header["values"]), errors
        return None, errors

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.safetensors"))


def digest(labels: Iterable[str], tensors: Iterable[Tensor]) -> str:
    """A SHA-256 of labels, of all code of `tasks`, and of tensors: of what a result depends on."""
    whole = sha256()
    code = [path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py"))]
    for part in [*(label.encode() for label in labels), *code]:
        whole.update(sha256(part).digest())
    for tensor in tensors:
        whole.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        for block in tensor.detach().cpu().reshape(-1).split(1 << 24):
            whole.update(block.contiguous().view(torch.uint8).numpy().data)
            file_backed.release_pages()
    return whole.hexdigest()
