"""An ONNX file that is ready to answer: its session, its metadata, and how its outputs are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.metrics import uncertainty
from tasks.metrics.uncertainty import Reading

if TYPE_CHECKING:
    from tasks.core.use_case import Array


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded ONNX file with its metadata."""

    session: Any
    use_case: str
    state: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    uncertainty: Mapping[str, Any] = field(default_factory=dict)
    """How to read the outputs, by the file's metadata; empty for a file that never abstains."""

    @property
    def classes(self) -> list[str]:
        classes = self.state.get("classes")
        return [str(name) for name in classes] if isinstance(classes, list) else []

    def outputs(self, inputs: Array) -> Array:
        """Outputs (N, ...) for inputs (N, ...)."""
        outputs: Array = self.session.run(None, {"inputs": inputs})[0]
        return outputs

    def reading(self, outputs: Array, inputs: Array) -> Reading | None:
        """The prediction sets and abstentions for outputs (N, ...) of inputs (N, ...); None for a file that never abstains."""
        return uncertainty.read(outputs, inputs, self.uncertainty) if self.uncertainty else None


def load_model(path: Path, threads: int = 1) -> LoadedModel:
    """The model in an ONNX file of the pipeline. Raises a `UserError` for a file that is missing or cannot be run."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name the model.onnx of a release") from None
    try:
        metadata = onnx_model.read_metadata(onnx_model.from_bytes(content))
        session = onnx_model.create_session(content, threads)
    except Exception as error:  # ONNX Runtime does not export its exception classes
        if not isinstance(error, UserError | ValueError) and not type(error).__module__.startswith("onnxruntime"):
            raise
        raise UserError(f"{path} is damaged or no model of the pipeline ({' '.join(str(error).split())[:200]})") from None
    state, entry = (
        value if isinstance(value, dict) else {} for value in (metadata.get("learnt"), metadata.get(uncertainty.ENTRY))
    )
    return LoadedModel(session, str(metadata.get("use_case", "")), state, len(content), entry)
