"""A temporary workspace for a benchmark: the project's code, other parameters, stages run one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tasks.core import params_file
from tasks.core.stage_context import event_log_path, stage_name
from tasks.core.storage.artifacts import Artifact
from tasks.core.storage.event_log import read_events

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class StageWorkspace:
    """A folder with params.yaml in which stages run."""

    root: Path

    def run_stage(self, stage: str, use_case: str, recipe: str = "") -> dict[str, Any]:
        """Run one stage in its own process. Returns its last event, with wall_s, cpu_s and peak_memory_bytes."""
        command = [sys.executable, "-m", "tasks", stage, use_case, *([recipe] if recipe else [])]
        process = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command[1:])} ended with {process.returncode}: {process.stderr.strip()}")
        return list(read_events(event_log_path(self.root, stage_name(stage, use_case, recipe))))[-1]

    def recipes(self) -> list[str]:
        """The names of the recipes, in the order of params.yaml."""
        return list(params_file.read_params(self.root / "params.yaml").recipes)

    def main_metric(self, use_case: str, recipe: str, split: str = "test") -> float:
        """The main metric of a recipe that has been evaluated."""
        metrics = Artifact(self.root / "data" / use_case / "evaluations" / recipe).json("metrics.json")
        return float(metrics["splits"][split]["interval"]["value"])

    def events(self, stage: str, use_case: str, recipe: str = "") -> list[dict[str, Any]]:
        """The event log of a stage that has run."""
        return list(read_events(event_log_path(self.root, stage_name(stage, use_case, recipe))))


@contextmanager
def temporary_workspace(
    use_case: str,
    overrides: Mapping[str, Any],
    recipes: Collection[str] = (),
    added_recipes: Mapping[str, list[dict[str, Any]]] | None = None,
) -> Iterator[StageWorkspace]:
    """A workspace with `overrides` in the stanza of `use_case` and with these recipes, or all; deleted at the end.

    `added_recipes` are not in params.yaml.
    """
    with TemporaryDirectory(prefix="bonsai-") as folder:
        root = Path(folder)
        params = params_file.apply_overrides(
            params_file.with_default_stanzas(params_file.read_params(ROOT / "params.yaml"), [use_case]), overrides, use_case
        )
        values = params.as_dict()
        values["recipes"] = {
            name: steps for name, steps in {**params.recipes, **(added_recipes or {})}.items() if not recipes or name in recipes
        }
        (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        (root / "tasks").symlink_to(ROOT / "tasks")
        yield StageWorkspace(root)
