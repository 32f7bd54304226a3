"""Wall time, CPU time and peak memory of each stage on the packaged digits."""

from __future__ import annotations

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.__main__ import STAGES

MEBIBYTE = 2**20


def main() -> None:
    rows = []
    recipes = ("dense", "distilled-int4")
    with temporary_workspace("vision", {}, recipes) as workspace:
        for stage, takes_recipe in STAGES.items():
            for recipe in recipes if takes_recipe else ("",):
                cost = workspace.run_stage(stage, "vision", recipe)
                rows.append(
                    {
                        "stage": f"{stage} {recipe}".strip(),
                        "wall_s": cost["wall_s"],
                        "cpu_s": cost["cpu_s"],
                        "peak_memory_mib": round(cost["peak_memory_bytes"] / MEBIBYTE),
                    }
                )
    record.write("stage_costs", "One pass over the packaged digits; each stage is a process of its own, imports included.", rows)
