"""What release writes into verdict.json, for each verdict, and as it was written before there were four."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tasks.core.storage.atomic_files import write_json
from tests.support import recorded_runs

CONTRACT = {"max_drop": 0.01, "min_speedup": 2.0, "max_size_share": 0.3, "min_score": None, "beats": "baseline"}
DECISION = {"split": "test", "rows": 1500, "level": 0.95, "tried": 2, "method": "Tango, Holm"}
WHY_NOT_SHOWN = "it may well keep the contract, but that is not shown: it loses 0.0040 of accuracy, 95 % upper bound 0.0125"


def candidate(recipe: str, status: str, **more: Any) -> dict[str, Any]:
    """A candidate with three terms, of which `max_drop` has the candidate's status."""
    drop = {"kept": (0.001, 0.004, 0.002), "not shown": (0.004, 0.0125, 0.11), "broken": (0.08, 0.1, 1.0)}[status]
    terms = {
        "max_drop": {"allowed": 0.01, "value": drop[0], "bound": drop[1], "p": drop[2], "status": status},
        "min_speedup": {"allowed": 2.0, "value": 3.1, "bound": 2.9, "p": 0.00001, "status": "kept"},
        "beats": {"allowed": "baseline", "value": 0.03, "bound": 0.02, "p": None, "status": "kept"},
    }
    found = {
        "recipe": recipe,
        "kind": "recipe",
        "status": status,
        "terms": terms,
        "p": drop[2],
        "adjusted_p": min(1.0, 2 * drop[2]),
    }
    return {**found, "cost": 0.1, "score": 0.95, "tried": True, "misses": [], "why": WHY_NOT_SHOWN, "needs": {}, **more}


VERDICTS: dict[str, dict[str, Any]] = {
    "released": {
        "verdict": "released",
        "released": "int8",
        "reason": "released 'int8': 1 of 2 candidates keeps the contract, and it costs least",
        "candidates": [candidate("int8", "kept", why="chosen"), candidate("logistic", "broken", kind="baseline")],
    },
    "refused": {
        "verdict": "refused",
        "released": None,
        "reason": "refused: each of the 2 candidates is shown to break the contract; nearest, 'int8' loses 0.0800 of accuracy",
        "candidates": [candidate("int8", "broken", why="loses 0.0800"), candidate("pruned", "broken")],
    },
    "inconclusive": {
        "verdict": "inconclusive",
        "released": None,
        "reason": "inconclusive: no candidate is shown to keep the contract; nearest, 'pruned' loses 0.0040 of accuracy",
        "candidates": [
            candidate("int8", "broken"),
            candidate("pruned", "not shown", needs={"rows": 2200}),
            candidate("logistic", "not shown", kind="baseline", p=0.4, adjusted_p=0.8, needs={"rows": 9000}),
        ],
    },
    "old release": {"released": "int8", "reason": "released 'int8': 1 of 2 recipes keeps the contract, and it costs least"},
    "old refusal": {"released": None, "reason": "nothing released: no recipe keeps the contract. Nearest: 'int8' is too slow"},
}
WORDS = {"released": "released", "refused": "refused", "inconclusive": "inconclusive"}
WORDS |= {"old release": "released", "old refusal": "refused"}


def content(name: str) -> dict[str, Any]:
    """The content of that verdict.json; the old ones lack the keys that were added later."""
    found = {"headline": "", "contract": CONTRACT, "decision": DECISION, **deepcopy(VERDICTS[name])}
    if name.startswith("old"):
        old = {"allowed": 0.01, "value": 0.001, "at_most": 0.004, "status": "kept"}
        del found["decision"]
        found["contract"] = {"max_drop": 0.01, "min_speedup": 2.0, "max_size_share": 0.3}
        found["candidates"] = [
            {"recipe": "int8", "status": "kept", "terms": {"max_drop": old}, "cost": 0.1, "score": 0.9, "why": ""}
        ]
    return found


def release(name: str) -> dict[str, Any]:
    """The results of one use case in a run's record: its verdict and a table with dense and int8."""
    released = VERDICTS[name]["released"]
    rows = [
        {"recipe": recipe, "metric": "accuracy", "value": value, "low": 0.9, "high": 0.99, "chosen": recipe == released}
        for recipe, value in (("dense", 0.97), ("int8", 0.96))
    ]
    return {"verdict": content(name), "table": {"rows": rows}}


def decide(folder: Path, use_case: str, name: str) -> None:
    """Give a recorded run with a release that verdict, in its record and in its folder."""
    target, path = folder / "data" / use_case / "release", folder / "run.json"
    table = json.loads((target / "table.json").read_text(encoding="utf-8"))
    table["rows"] = [{**row, "chosen": row["recipe"] == VERDICTS[name]["released"]} for row in table["rows"]]
    row = next(row for row in table["rows"] if row["recipe"] == "pruned")
    if not name.startswith("old"):
        table["rows"].append({**row, "recipe": "logistic", "kind": "baseline", "status": "not shown", "chosen": False})
    write_json(target / "verdict.json", content(name))
    write_json(target / "table.json", table)
    if VERDICTS[name]["released"] is None:
        (target / "model.onnx").unlink()
    recorded_runs.seal(target)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["results"] = {use_case: {"verdict": content(name), "table": table}}
    write_json(path, record)
