"""Draw the stages of dvc.yaml as a Mermaid graph into docs/architecture.md: `python docs/dag.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- graph of dvc.yaml -->", "<!-- end of graph -->"


def mermaid(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """One node for each stage, and an edge from each stage to those that read its output, labelled with what they read."""
    lines = ["```mermaid", "flowchart LR"]
    for name, stage in stages.items():
        each = " and ".join(key.replace("_", " ") for key in stage["matrix"])
        lines.append(f'    {name}["<b>{name}</b><br/>per {each}"]')
    for name, stage in stages.items():
        read: dict[str, list[str]] = {}
        for dependency in stage["deps"]:
            for writer, other in stages.items():
                if writer != name and (label := _shared(dependency, other["outs"])):
                    read.setdefault(writer, []).append(label)
        lines += [f'    {writer} -- "{", ".join(dict.fromkeys(labels))}" --> {name}' for writer, labels in read.items()]
    return "\n".join([*lines, "```"])


def _shared(dependency: str, outs: list[str]) -> str:
    """The part of a stage's output that a dependency names, without the folders of its use case; empty if none."""
    for out in outs:
        pairs = zip(dependency.split("/"), out.split("/"), strict=False)
        if all(ours == theirs or (theirs == "${item.recipe}" and ours != "seeds") for ours, theirs in pairs):
            place = dependency.removeprefix("data/${item.use_case}/")
            return place.replace("${item.recipe}", "(recipe)").replace("${item.seed}", "(seed)")
    return ""


def page(text: str) -> str:
    """The page with the graph of dvc.yaml between its markers."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    graph = f"{BEGIN}\n{mermaid(stages)}\n{END}"
    return re.sub(rf"{BEGIN}.*?{END}", lambda _: graph, text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
