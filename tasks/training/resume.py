"""Go on from where a kill left off: a fit's whole state in one file that is either there and sound, or not there.

The file's name carries its sha256, for neither safetensors nor torch notices a flipped bit. Two generations are kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from tasks.core.atomic_files import write_bytes

KEPT = 2


@dataclass(frozen=True, slots=True)
class State:
    """Everything the steps still to come depend on: tensors by name, and plain JSON values."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resume:
    """The states that one fit leaves in a folder of its own."""

    folder: Path

    def write(self, state: State) -> None:
        """Keep `state`, whole or not at all, then let go of the oldest."""
        from safetensors.torch import save

        about = json.dumps({"step": state.step, "values": state.values})
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}, {"about": about})
        write_bytes(self.folder / f"{state.step:010d}-{sha256(content).hexdigest()}.safetensors", content)
        for old in self._files()[:-KEPT]:
            old.unlink()

    def read(self) -> tuple[State | None, list[str]]:
        """The newest sound state, if there is one, and what was wrong with those passed over."""
        from safetensors.torch import load

        faults = []
        for path in reversed(self._files()):
            content = path.read_bytes()
            if sha256(content).hexdigest() != path.stem.partition("-")[2]:
                faults.append(f"{path} is damaged (its sha256 is not the one in its name); going on from an earlier state")
                continue
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            about = json.loads(header["__metadata__"]["about"])
            return State(about["step"], load(content), about["values"]), faults
        return None, faults

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.safetensors"))
