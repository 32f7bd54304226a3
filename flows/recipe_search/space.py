"""The recipes that a search tries: a student or pruning or neither, then bits and number formats."""

from __future__ import annotations

from typing import Any, Protocol

from tasks.core import registry

EFFORT = 3.0
"""Epochs of a student at full effort, as a multiple of the use case's."""
VARIANTS, PASSES = 8, 6
"""Variants that the teacher answers once, and epochs over them at full effort."""
MOST_WITHOUT_PADDING = 4
"""Layers after which nothing is left of the map of a digit without padding."""


STARTS: tuple[dict[str, Any], ...] = (
    {"network": "none", "bits": 8},
    {"network": "student", "width_share": 0.5, "teacher_share": 1.0, "bits": 4},
    {"network": "student", "width_share": 0.5, "teacher_share": 1.0, "bits": 8},
    {"network": "prune", "ratio": 0.5, "bits": 0},
)
"""What a search tries first: about the recipes of params.yaml."""


class Suggests(Protocol):
    """A trial of Optuna, as far as it is used here."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


def suggest(trial: Suggests, use_case: str) -> list[dict[str, Any]]:
    """A recipe as in params.yaml. Where there is the architecture `strided_cnn`, students vary in stem, depth and widths."""
    strided = "strided_cnn" in registry.architectures(use_case)
    kinds = ["none", "prune", "student", *(["strided"] if strided else [])]
    kind = trial.suggest_categorical("network", kinds)
    recipe: list[dict[str, Any]] = []
    fitting = {
        "effort": EFFORT,
        "variants": VARIANTS,
        "passes": PASSES,
        "teacher_share": trial.suggest_categorical("teacher_share", [0.7, 1.0]),
    }
    if kind == "prune":
        ratio = round(trial.suggest_float("ratio", 0.2, 0.8), 2)
        recipe.append({"prune": {"ratio": ratio, "effort": EFFORT / 2}})
    elif kind == "student":
        recipe.append({"distill": {**fitting, "width_share": round(trial.suggest_float("width_share", 0.1, 1.0, log=True), 3)}})
    elif kind == "strided":
        recipe.append({"distill": {**fitting, "architecture": "strided_cnn", "fields": _strided_fields(trial)}})
    bits = trial.suggest_categorical("bits", [0, 4, 8, 32])
    if bits in (4, 8) and kind != "none":
        recipe.append({"qat": {"bits": bits, "effort": 1.0, "variants": VARIANTS}})
    if bits != 32:
        recipe.append({"quantize": {}})
    if bits == 4:
        recipe.append({"int4": {}})
    return recipe


def _strided_fields(trial: Suggests) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 3, 5)
    stem = trial.suggest_categorical("stem", [8, 16, 24])
    growth = trial.suggest_float("growth", 1.0, 1.8)
    widths = [stem, *(8 * max(1, round(stem * growth**place / 8)) for place in range(1, depth))]
    padding = depth > MOST_WITHOUT_PADDING or trial.suggest_categorical("padding", [False, True])
    fields = {"widths": widths, "stem_kernel": trial.suggest_int("stem_kernel", 3, 5), "stem_stride": 2, "padding": padding}
    return {**fields, "pooled": [position for position in (1, 3) if position < depth - (not padding)]}
