"""Compare two runs: parameters, code, machine, outputs of each stage, and results. Only differences are reported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml

from flows.reporting import verdicts
from flows.reporting.results_table import COLUMNS
from flows.runs.run_record import Run, state
from tasks.core.storage.atomic_files import hash_file

NOTHING = "(none)"
HASH_LENGTH = 10
"""How many letters of a hash are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that differs between two runs, as text."""

    about: str
    name: str
    left: str
    right: str


def compare(left: Run, right: Run) -> list[Difference]:
    """All differences, parameters first and results last. Times are left out, since they differ between any two runs."""
    return [
        Difference(about, name, _value_text(ours, name), _value_text(theirs, name))
        for about, read in PROPERTIES.items()
        for ours, theirs in [(read(left), read(right))]
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]


def parameters(run: Run) -> dict[str, Any]:
    """Every value of the run's own params.yaml, by dotted name; empty if it cannot be read."""
    try:
        return flatten(load_yaml(str(run.folder / "params.yaml")))
    except OSError:
        return {}


def code(run: Run) -> dict[str, str]:
    """The commit, and the hash of every file of the run's copy of the code."""
    recorded = run.record.get("code", {})
    commit = str(recorded.get("commit", ""))[:HASH_LENGTH] + (" and changes" if recorded.get("dirty") else "")
    return {"commit": commit, **code_hashes(run.folder)}


def code_hashes(folder: Path) -> dict[str, str]:
    """The hashes of dvc.yaml and of every file of code in a workspace, by relative path."""
    paths = [*(path for path in (folder / "tasks").rglob("*.py") if "__pycache__" not in path.parts), folder / "dvc.yaml"]
    return {str(path.relative_to(folder)): hash_file(path)[:HASH_LENGTH] for path in sorted(paths) if path.is_file()}


def machine(run: Run) -> dict[str, Any]:
    """The machine, and the versions of the packages that determine an artifact's bytes."""
    recorded = run.record.get("machine", {})
    return {name: recorded.get(name) for name in ("processor", "cores", "python")} | dict(recorded.get("versions", {}))


def stage_outputs(run: Run) -> dict[str, str]:
    """The hashes of each stage's outputs, or its state where it has none."""
    outputs = {}
    for name, entry in run.record.get("stages", {}).items():
        outs = entry.get("outs") or {}
        hashes = [str(out.get("md5", ""))[:HASH_LENGTH] for out in outs.values()]
        outputs[name] = ", ".join(hashes) or str(entry.get("state", ""))
    return outputs


def results(run: Run) -> dict[str, str]:
    """The run's state, each verdict and what it released, and each recipe's metrics with their confidence intervals."""
    texts = {"state": state(run)}
    for verdict in verdicts.of_record(run.record, texts["state"]):
        texts[f"{verdict.use_case} verdict"] = verdict.word
        texts[f"{verdict.use_case} released"] = verdict.released or "nothing"
    for use_case, release in run.record.get("results", {}).items():
        for row in release.get("table", {}).get("rows", []):
            for column, read in COLUMNS.items():
                name = column.format(metric=row.get("metric", "value"))
                if name not in ("recipe", "contract") and (text := read(row)):
                    texts[f"{use_case} {row.get('recipe')}: {name}"] = text
    return texts


PROPERTIES = {"parameters": parameters, "code": code, "machine": machine, "stages": stage_outputs, "outcome": results}


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings, and lists of mappings, as one mapping by dotted name."""
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or not value:
        return {prefix: value} if prefix else {}
    return dict(_leaves(value, prefix))


def _leaves(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield from flatten(value, f"{prefix}.{name}" if prefix else str(name)).items()


def to_json(differences: list[Difference]) -> str:
    """The differences as JSON."""
    return json.dumps([asdict(each) for each in differences], indent=2)


def _value_text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, NOTHING)
    return NOTHING if value is None or value == "" else str(value)
