"""The release decision: which recipe keeps the contract at the least cost, and why the others are not released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tasks.core.compression import DENSE
from tasks.core.settings import Contract

TIE_FACTOR = 1.05
"""Costs within this factor count as equal, because timings are no more precise."""

Status = Literal["kept", "not shown", "broken"]
RANK: dict[Status, int] = {"kept": 0, "not shown": 1, "broken": 2}


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A recipe checked against the contract: its cost relative to dense, the status of each term, and the reasons."""

    recipe: str
    status: Status
    terms: dict[str, dict[str, Any]]
    cost: float
    """Its share of dense's bytes times its share of dense's time at batch 1; lower is better."""
    score: float
    """The first metric on validation, negated where lower is better."""
    misses: list[str] = field(default_factory=list)
    why: str = ""


def assess(name: str, metrics: Mapping[str, Any], timing: Mapping[str, Any], contract: Contract, sign: int) -> Candidate:
    """Check one recipe against the terms of the contract, on validation rows, with one-sided 95 % confidence bounds."""
    against_dense, split = metrics["against_dense"]["validation"], metrics["splits"]["validation"]
    speedup = timing["variants"][name]["speedup_over"][DENSE]["1"]
    first, drop = split["first"], against_dense["drop"]["value"]
    terms = {
        "max_drop": {"allowed": contract.max_drop, "value": drop, "at_most": against_dense["at_most"]},
        "min_speedup": {"allowed": contract.min_speedup, "value": speedup["ratio"], "at_least": speedup["at_least"]},
        "max_size_share": {"allowed": contract.max_size_share, "value": metrics["bytes_share"]},
    }
    terms["max_drop"]["status"] = _status(drop <= contract.max_drop, against_dense["at_most"] <= contract.max_drop)
    terms["min_speedup"]["status"] = _status(
        speedup["ratio"] >= contract.min_speedup, speedup["at_least"] >= contract.min_speedup
    )
    terms["max_size_share"]["status"] = _status(metrics["bytes_share"] <= contract.max_size_share, True)
    blockers = split.get("objections", [])
    if blockers:
        terms["objections"] = {"allowed": 0, "value": len(blockers), "status": "broken"}
    messages = {
        "max_drop": f"loses {drop:.4f} of {first} on validation, 95 % upper bound {against_dense['at_most']:.4f}; "
        f"{contract.max_drop:.4f} is allowed",
        "min_speedup": f"is {speedup['ratio']:.2f} times as fast as dense, 95 % lower bound {speedup['at_least']:.2f}; "
        f"{contract.min_speedup:.2f} is required",
        "max_size_share": f"has {metrics['bytes_share']:.3f} of dense's bytes; {contract.max_size_share:.3f} is allowed",
        "objections": " and ".join(blockers),
    }
    status: Status = max((term["status"] for term in terms.values()), key=lambda each: RANK[each])
    return Candidate(
        recipe=name,
        status=status,
        terms=terms,
        cost=metrics["bytes_share"] / speedup["ratio"],
        score=sign * split["scores"][first],
        misses=[messages[term] for term in terms if terms[term]["status"] != "kept"],
    )


def decide(candidates: Sequence[Candidate], contract: Contract) -> dict[str, Any]:
    """The verdict: the candidate of least cost that keeps the contract; of equal costs the best on validation."""
    kept = [candidate for candidate in candidates if candidate.status == "kept"]
    least = min((candidate.cost for candidate in kept), default=0.0)
    chosen = max((one for one in kept if one.cost <= least * TIE_FACTOR), key=lambda one: (one.score, -one.cost), default=None)
    for candidate in candidates:
        if candidate is chosen:
            candidate.why = "chosen: it keeps the contract at the least cost (bytes times time)"
        elif candidate.status == "kept":
            assert chosen
            ratio = candidate.cost / chosen.cost
            candidate.why = f"keeps the contract, but costs {ratio:.2f} times what {chosen.recipe!r} does (bytes times time)"
        else:
            shown = "it may well keep the contract, but that is not shown: it " if candidate.status == "not shown" else ""
            candidate.why = shown + "; it ".join(candidate.misses)
    if chosen:
        keep = "keeps" if len(kept) == 1 else "keep"
        reason = f"released {chosen.recipe!r}: {len(kept)} of {len(candidates)} recipes {keep} the contract, and it costs least"
    else:
        nearest = sorted(candidates, key=lambda one: (RANK[one.status], len(one.misses), one.cost))[:2]
        misses = "; ".join(f"{one.recipe!r} {one.misses[0]}" for one in nearest)
        reason = f"nothing released: no recipe keeps the contract. Nearest: {misses or 'there is no recipe besides dense'}"
    return {
        "released": chosen.recipe if chosen else None,
        "reason": reason,
        "contract": asdict(contract),
        "candidates": [asdict(candidate) for candidate in candidates],
    }


def _status(holds: bool, shown: bool) -> Status:
    return "broken" if not holds else "kept" if shown else "not shown"
