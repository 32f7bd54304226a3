"""A temporary workspace for a benchmark: the project's code, other parameters, stages run one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
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

    def resume_stage(self, stage: str, use_case: str, recipe: str = "") -> dict[str, Any]:
        """As `run_stage`, but a stage that has finished here is not run again."""
        log = event_log_path(self.root, stage_name(stage, use_case, recipe))
        last = list(read_events(log))[-1:] if log.exists() else []
        return last[0] if last and last[0]["event"] == "finished" else self.run_stage(stage, use_case, recipe)

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
        yield _created(Path(folder), _params(use_case, overrides, recipes, added_recipes or {}))


def kept_workspace(
    folder: Path,
    use_case: str,
    overrides: Mapping[str, Any],
    recipes: Collection[str] = (),
    added_recipes: Mapping[str, list[dict[str, Any]]] | None = None,
) -> StageWorkspace:
    """As `temporary_workspace`, in a sub-folder that stays and is found again for equal parameters and equal code of `tasks`.

    With `resume_stage` a benchmark that was ended goes on where it stopped.
    """
    text = _params(use_case, overrides, recipes, added_recipes or {})
    digest = sha256(text.encode())
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        digest.update(path.read_bytes())
    root = folder / digest.hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    return StageWorkspace(root) if (root / "params.yaml").exists() else _created(root, text)


def _params(
    use_case: str, overrides: Mapping[str, Any], recipes: Collection[str], added_recipes: Mapping[str, list[dict[str, Any]]]
) -> str:
    params = params_file.apply_overrides(
        params_file.with_default_stanzas(params_file.read_params(ROOT / "params.yaml"), [use_case]), overrides, use_case
    )
    values = params.as_dict()
    values["recipes"] = {
        name: steps for name, steps in {**params.recipes, **added_recipes}.items() if not recipes or name in recipes
    }
    return yaml.safe_dump(values, sort_keys=False)


def _created(root: Path, text: str) -> StageWorkspace:
    if not (root / "tasks").exists():
        (root / "tasks").symlink_to(ROOT / "tasks")
    (root / "params.yaml").write_text(text)
    return StageWorkspace(root)
