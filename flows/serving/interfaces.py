"""What the application needs of the models that it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tasks.inference.released_model import ReleasedModel


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

    def refresh(self) -> list[str]:
        """Replace models that changed; returns a line for each."""


class FixedModels:
    """Models that never change, such as that of a bundle."""

    def __init__(self, models: list[ServedModel]) -> None:
        self._models = {model.use_case: model for model in models}

    def names(self) -> list[str]:
        return list(self._models)

    def of(self, use_case: str) -> ServedModel:
        return self._models[use_case]

    def refresh(self) -> list[str]:
        return []
