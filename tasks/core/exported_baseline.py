"""A classic model as one ONNX file, which the later stages run like a network's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

    from tasks.core.problem import Array, PreprocessingState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedBaseline:
    """A fitted classic model: a file from `inputs` to `outputs`.

    `UseCase.encode` makes the inputs with the `state`, and `Problem.decode` reads the outputs.
    """

    model: ModelProto
    state: PreprocessingState
    """What `encode` and `decode` need; it may differ from the network's, as with another vocabulary."""
    parameters: int | None
    """Numbers that were fitted, None where that has no meaning."""
    train_rows: int
    """Rows that the model was fitted on."""
    inputs: Array
    """Some encoded train rows (N, ...), on which the file is compared with the library's own model."""
    expected: Array
    """The outputs (N, K) of the library's own model for these rows."""


def slug(name: str) -> str:
    """A name as a folder: `tf-idf + linear` is `tf-idf-linear`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
