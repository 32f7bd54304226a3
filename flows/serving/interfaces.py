"""What the application needs of the models that it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tasks.inference.released_model import Observed, ReleasedModel


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model and the name of its version."""

    use_case: str
    name: str
    """Such as `vision@7`; `vision@release` for a release that was never promoted."""
    model: ReleasedModel


class ModelSource(Protocol):
    """One loaded model per use case."""

    def names(self) -> list[str]: ...

    def of(self, use_case: str) -> ServedModel:
        """The model that answers now."""

    def challenger(self, use_case: str) -> ServedModel | None:
        """The model that is asked in shadow, if there is one."""

    def refresh(self) -> list[str]:
        """Replace models that changed; returns a line for each."""


@dataclass(slots=True)
class Exchange:
    """A request and its response, as they are handed to the recorder."""

    use_case: str
    request_id: str
    model: str = ""
    """The name of the version that answered; empty for a refused request."""
    status: int = 200
    error: str = ""
    """The code of the refusal; empty if there was none."""
    latency_ms: float = 0.0
    at: datetime | None = None
    """When it was handed to the recorder."""
    inputs: Sequence[Any] = ()
    answers: Sequence[dict[str, Any]] = ()
    observed: Sequence[tuple[Observed, int]] = field(default=())
    """For each input the call that answered it, and its position in it, from 1; empty where inputs came as a file."""


class Recorder(Protocol):
    """Remembers exchanges and right answers. No call delays a response by more than a moment."""

    def record(self, exchange: Exchange) -> None: ...

    def feedback(self, entries: list[dict[str, Any]]) -> None:
        """Store right answers with `request_id`, `position`, `label` and `source`, on disk when it returns."""

    def close(self) -> None:
        """Write what waits."""


class FixedModels:
    """Models that never change, such as that of a bundle."""

    def __init__(self, models: list[ServedModel]) -> None:
        self._models = {model.use_case: model for model in models}

    def names(self) -> list[str]:
        return list(self._models)

    def of(self, use_case: str) -> ServedModel:
        return self._models[use_case]

    def challenger(self, use_case: str) -> ServedModel | None:
        return None

    def refresh(self) -> list[str]:
        return []
