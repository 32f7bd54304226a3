"""What `bonsai compress` finds, beside the recipes of params.yaml measured in the same way on the same dense model.

Only validation rows are read. BONSAI_SEARCH names use cases and a budget, such as "vision nlp 30m"; by default "vision 30m".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import record
from benchmarks.stage_workspace import ROOT
from flows.cli.compress_command import parse_budget
from flows.recipe_search import search, trial, trial_results
from flows.recipe_search.trial_results import Tried
from flows.reporting.console import NullDisplay
from tasks.core import params_file
from tasks.core.compression import DENSE

MOST_LOST = 0.05
"""The drop up to which the front counts."""


class Lines:
    """Prints the progress of a search."""

    def rung(self, recipes: int, effort: float) -> None:
        print(f"{recipes} recipes with {effort:.2f} of the epochs", flush=True)

    def trial(self, done: int, recipes: int, line: str) -> None:
        print(f"  {done} of {recipes}: {line}", flush=True)


def main() -> None:
    """Try the packaged recipes, search others in a fresh clone of the project, and write the volume that each front dominates."""
    *use_cases, budget = os.environ.get("BONSAI_SEARCH", "vision 30m").split()
    with TemporaryDirectory(prefix="bonsai-") as folder:
        root = Path(folder) / "project"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)
        rows = [row for use_case in use_cases for row in measure(root, use_case, parse_budget(budget))]
    sentences = [f"on {row['use_case']} {row['volume']:.3f}" for row in rows if row["recipes"] == "searched"]
    own = [f"{row['volume']:.3f}" for row in rows if row["recipes"] == "packaged"]
    record.write(
        "recipe_search",
        f"Hypervolume of the front of drop, time at batch 1 and bytes, as shares of a drop of {MOST_LOST}, of the time and the "
        f"bytes of dense, after {budget} of search: {', '.join(sentences)}; packaged recipes {', '.join(own)}. Validation rows.",
        rows,
    )


def measure(root: Path, use_case: str, budget_s: float) -> list[dict[str, Any]]:
    """One row for the front of the packaged recipes, one for that of the search."""
    workplace = search.prepare(root, use_case, NullDisplay())
    recipes = params_file.read_params(root / "params.yaml").recipes
    packaged = [
        Tried(steps, trial.run(str(workplace.folder), use_case, steps, 1.0, str(workplace.folder / "packaged" / f"{name}.json")))
        for name, steps in recipes.items()
        if name != DENSE
    ]
    with search.open_study(root, use_case, workplace) as study:
        searched = search.search(workplace, use_case, budget_s, study=study, show=Lines())
    return [row(use_case, "packaged", packaged), row(use_case, "searched", searched)]


def row(use_case: str, recipes: str, tried: list[Tried]) -> dict[str, Any]:
    """The volume of the front of these recipes, and the recipe of it that loses at most 0.01 in the fewest bytes."""
    front = trial_results.front([one for one in tried if not one.result.error])
    points = [(one.result.drop / MOST_LOST, 1 / one.result.speedup, one.result.size_share) for one in front]
    small = min((one for one in front if one.result.drop <= 0.01), key=lambda one: one.result.bytes, default=None)
    return {
        "use_case": use_case,
        "recipes": recipes,
        "tried": len(tried),
        "front": len(front),
        "volume": search.hypervolume(points, (1.0, 1.0, 1.0)),
        "bytes": small.result.bytes if small else None,
        "drop": small.result.drop if small else None,
        "x_dense": small.result.speedup if small else None,
        "recipe": trial_results.steps_text(small.recipe).replace("|", "") if small else "",
    }


if __name__ == "__main__":
    main()
