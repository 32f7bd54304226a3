"""What each stage costs on the packaged digits: wall time, CPU time and peak memory."""

from __future__ import annotations

from benchmarks import record
from benchmarks.scene import scene
from tasks.__main__ import STAGES

MEBIBYTE = 2**20


def main() -> None:
    rows = []
    recipes = ("dense", "pruned-int8")
    with scene("vision", {}, recipes) as place:
        for stage, takes_recipe in STAGES.items():
            for recipe in recipes if takes_recipe else ("",):
                cost = place.play(stage, "vision", recipe)
                rows.append(
                    {
                        "stage": f"{stage} {recipe}".strip(),
                        "wall_s": cost["wall_s"],
                        "cpu_s": cost["cpu_s"],
                        "peak_memory_mib": round(cost["peak_memory_bytes"] / MEBIBYTE),
                    }
                )
    record.write("memory", "One pass over the packaged digits; each stage is a process of its own, imports included.", rows)
