"""Two runs held against each other: parameters, code, machine, what each stage made and what came of it; only what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml

from flows.reporting.results_table import COLUMNS
from flows.runs.run_record import Run, state
from tasks.core.atomic_files import hash_file

NOTHING = "(none)"
LETTERS = 10
"""How much of a hash tells it from others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same in both runs, as a person reads it."""

    about: str
    name: str
    left: str
    right: str


def compare(left: Run, right: Run) -> list[Difference]:
    """All that differs, parameters first and results last. Times are left out, for no two runs agree in them."""
    return [
        Difference(about, name, _said(one, name), _said(two, name))
        for about, read in SIDES.items()
        for one, two in [(read(left), read(right))]
        for name in dict.fromkeys([*one, *two])
        if one.get(name) != two.get(name)
    ]


def parameters(run: Run) -> dict[str, Any]:
    """Every number of the run's own params.yaml, by dotted name."""
    try:
        return flat(load_yaml(str(run.folder / "params.yaml")))
    except OSError:
        return {}


def code(run: Run) -> dict[str, str]:
    """The commit and every file of the run's snapshot."""
    known = run.record.get("code", {})
    commit = str(known.get("commit", ""))[:LETTERS] + (" and changes" if known.get("dirty") else "")
    return {"commit": commit, **files(run.folder)}


def files(folder: Path) -> dict[str, str]:
    """Hash of the score and of every file of code in a workspace, by relative path."""
    paths = [*(path for path in (folder / "tasks").rglob("*.py") if "__pycache__" not in path.parts), folder / "dvc.yaml"]
    return {str(path.relative_to(folder)): hash_file(path)[:LETTERS] for path in sorted(paths) if path.is_file()}


def machine(run: Run) -> dict[str, Any]:
    """Where it ran, and the versions that decide the bytes."""
    known = run.record.get("machine", {})
    return {name: known.get(name) for name in ("processor", "cores", "python")} | dict(known.get("versions", {}))


def made(run: Run) -> dict[str, str]:
    """What each stage came to: the hashes of its outputs, or its state where it has none."""
    found = {}
    for name, entry in run.record.get("stages", {}).items():
        outs = entry.get("outs") or {}
        hashes = [str(out.get("md5", ""))[:LETTERS] for out in outs.values()]
        found[name] = ", ".join(hashes) or str(entry.get("state", ""))
    return found


def outcome(run: Run) -> dict[str, str]:
    """State, what was released, and each recipe's figures with their intervals."""
    found = {"state": state(run)}
    for use_case, release in run.record.get("results", {}).items():
        found[f"{use_case} released"] = str(release.get("verdict", {}).get("released") or "nothing")
        for row in release.get("table", {}).get("rows", []):
            for column, read in COLUMNS.items():
                name = column.format(metric=row.get("metric", "value"))
                if name not in ("recipe", "contract") and (text := read(row)):
                    found[f"{use_case} {row.get('recipe')}: {name}"] = text
    return found


SIDES = {"parameters": parameters, "code": code, "machine": machine, "stages": made, "outcome": outcome}


def flat(found: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as dotted names."""
    if isinstance(found, list) and any(isinstance(each, Mapping) for each in found):
        found = dict(enumerate(found))
    if not isinstance(found, Mapping) or not found:
        return {prefix: found} if prefix else {}
    return dict(_leaves(found, prefix))


def _leaves(found: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, inner in found.items():
        yield from flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()


def as_json(found: list[Difference]) -> str:
    """The differences for other programs."""
    return json.dumps([asdict(each) for each in found], indent=2)


def _said(side: Mapping[str, Any], name: str) -> str:
    value = side.get(name, NOTHING)
    return NOTHING if value is None or value == "" else str(value)
