"""Put the table of the project's last release into README.md, with its machine, seed and counts."""

from __future__ import annotations

import re

from benchmarks.stage_workspace import ROOT
from tasks.core import params_file
from tasks.core.storage.artifacts import Artifact
from tasks.core.storage.atomic_files import write_bytes
from tasks.release.model_card import markdown_table


def main() -> None:
    """One table per use case that has a place in README.md and a release in `data/`."""
    params = params_file.read_params(ROOT / "params.yaml")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"<!-- result: (\w+) -->", text):
        release = Artifact(ROOT / "data" / name / "release")
        table, verdict = release.json("table.json"), release.json("verdict.json")
        metrics = Artifact(ROOT / "data" / name / "evaluations" / "dense").json("metrics.json")
        counts = ", ".join(f"{count:,} {split}" for split, count in metrics["rows"].items())
        machine = table["machine"]
        seed = params_file.build_use_case(name, params).training.seed
        about = (
            f"{verdict['headline']} {counts} rows, seed {seed}; {machine['cpu']}, "
            f"{table['threads']} thread, torch {machine['torch']}, onnxruntime {machine['onnxruntime']}. "
            f"{verdict['reason'][:1].upper()}{verdict['reason'][1:]}."
        )
        fresh = f"<!-- result: {name} -->\n{markdown_table(table['rows'])}\n\n{about}\n<!-- end of result -->"
        text = re.sub(rf"<!-- result: {name} -->.*?<!-- end of result -->", lambda _, fresh=fresh: fresh, text, flags=re.DOTALL)
    write_bytes(ROOT / "README.md", text.encode())
