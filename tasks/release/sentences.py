"""The verdict in sentences: why a model is released, or why none is and what would be needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.release.decision import Candidate, Decision, nearest
from tasks.release.evidence import Evidence


def describe(decision: Decision, metric: str) -> dict[str, Any]:
    """The reason of the verdict, and for each candidate its misses and its reason."""
    words: dict[str, Any] = {"reason": reason(decision, metric)}
    for candidate in decision.candidates:
        misses = [miss(candidate, term, metric, decision.rows) for term in candidate.missed]
        words[candidate.name] = {"misses": misses, "why": why(candidate, decision, misses)}
    return words


def reason(decision: Decision, metric: str) -> str:
    """One sentence, which begins with the verdict's word."""
    if chosen := decision.released:
        kind = ", a classic model that needs no network" if chosen.kind == "baseline" else ""
        shown = [term for term in ("max_drop", "min_speedup", "max_size_share") if term in chosen.terms]
        facts = [FACTS[term](chosen.terms[term], chosen.level, metric) for term in shown]
        others = sum(candidate.kept for candidate in decision.candidates) - 1
        rest = f"; {others} more {'keeps' if others == 1 else 'keep'} the contract and {'costs' if others == 1 else 'cost'} more"
        return f"released {chosen.name!r}{kind}: on {decision.rows:,} test rows it {_listed(facts)}{rest if others else ''}"
    if not decision.candidates:
        return "refused: there is no candidate besides dense; add a recipe to params.yaml"
    order = nearest(decision.candidates)
    if decision.verdict == "refused":
        first = order[0]
        each = "the only candidate" if len(order) == 1 else f"each of the {len(order)} candidates"
        return f"refused: {each} is shown to break the contract; nearest, {first.name!r} " + miss(
            first, first.missed[0], metric, decision.rows
        )
    first = next(candidate for candidate in order if candidate.status != "broken")
    return f"inconclusive: no candidate is shown to keep the contract; nearest, {first.name!r} " + _unshown(
        first, metric, decision.rows
    )


def why(candidate: Candidate, decision: Decision, misses: list[str]) -> str:
    """Why this candidate is or is not released."""
    chosen = decision.released
    if candidate is chosen:
        return "chosen: it keeps the contract at the least cost (bytes times time)"
    if candidate.kept:
        assert chosen
        return (
            f"keeps the contract, but costs {candidate.cost / chosen.cost:.2f} times what {chosen.name!r} does (bytes times time)"
        )
    if candidate.status == "broken":
        return "it " + "; it ".join(misses)
    untried = ""
    if not candidate.tried:
        untried = (
            f"not tried on test rows: {candidate.excluded or 'others are more likely to be shown, by their validation rows'}; "
        )
    if not candidate.missed:
        return untried + "its test rows alone would have shown it"
    return untried + "it may well keep the contract, but that is not shown: it " + _unshown(candidate, "", decision.rows, misses)


def miss(candidate: Candidate, term: str, metric: str, rows: int) -> str:
    """What is wrong with one term, without its subject."""
    evidence = candidate.terms[term]
    return MISSES[term](evidence, candidate.level, metric, rows)


def _unshown(candidate: Candidate, metric: str, rows: int, misses: list[str] | None = None) -> str:
    if misses is None:
        misses = [miss(candidate, term, metric, rows) for term in candidate.missed]
    needs = candidate.needs()
    parts = []
    if needs.get("rows", 0) > rows:
        parts.append(f"about {round_up(needs['rows'] - rows):,} more test rows")
    if "processes" in needs:
        parts.append(f"{needs['processes']} processes of timing")
    if parts:
        hint = f"; {' and '.join(parts)} would show it, if it stays as measured"
    elif candidate.missed:
        hint = "; as measured it is beyond what is allowed, so more rows alone are no help"
    else:
        hint = candidate.excluded
    return "; it ".join(misses) + hint


def round_up(count: int) -> int:
    """A count with two leading digits, rounded up, because an estimate has no more."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def _change(drop: float) -> str:
    return f"gains {-drop:.4f}" if drop < 0 else f"loses {drop:.4f}"


def _limit(bound: float) -> str:
    return f"at least {-bound:.4f} gained" if bound < 0 else f"at most {bound:.4f} lost"


def _confidence(level: float) -> str:
    return f"{100 * level:.4g} % confidence"


Fact = Callable[[Evidence, float, str], str]
Miss = Callable[[Evidence, float, str, int], str]

FACTS: dict[str, Fact] = {
    "max_drop": lambda term, level, metric: (
        f"{_change(term.value)} of {metric}, with {_confidence(level)} {_limit(term.bound(level))} "
        f"({term.allowed:.4f} is allowed)"
    ),
    "min_speedup": lambda term, level, metric: f"is {term.value:.2f} times as fast as dense",
    "max_size_share": lambda term, level, metric: f"has {term.value:.3f} of its bytes",
}
MISSES: dict[str, Miss] = {
    "max_drop": lambda term, level, metric, rows: (
        f"{_change(term.value)} of {metric} on {rows:,} test rows, with {_confidence(level)} {_limit(term.bound(level))}; "
        f"{term.allowed:.4f} is allowed"
    ),
    "min_speedup": lambda term, level, metric, rows: (
        f"is {term.value:.2f} times as fast as dense, at least {term.bound(level):.2f} with {_confidence(level)}; "
        f"{term.allowed:.2f} is required"
    ),
    "max_size_share": lambda term, level, metric, rows: f"has {term.value:.3f} of dense's bytes; {term.allowed:.3f} is allowed",
    "max_bytes": lambda term, level, metric, rows: f"has {term.value:,.0f} bytes; {term.allowed:,.0f} are allowed",
    "max_latency_ms": lambda term, level, metric, rows: (
        f"takes {term.value:.3f} ms, at most {term.bound(level):.3f} with {_confidence(level)}; {term.allowed:.3f} is allowed"
    ),
    "min_score": lambda term, level, metric, rows: (
        f"has {metric} {term.value:.4f} on {rows:,} test rows, which may be {term.bound(level):.4f} with {_confidence(level)}; "
        f"{term.allowed:.4f} is required"
    ),
    "beats": lambda term, level, metric, rows: (
        f"is worse than {term.than} by {term.value:.4f} of {metric}, at least {term.bound(level):.4f}"  # type: ignore[attr-defined]
    ),
    "max_class_drop": lambda term, level, metric, rows: (
        f"{_change(term.value)} of {metric} in one class, at most {term.bound(level):.4f} with {_confidence(level)}; "
        f"{term.allowed:.4f} is allowed"
    ),
    "max_group_gap": lambda term, level, metric, rows: (
        f"is right less often in one group by {term.value:.4f}, at most {term.bound(level):.4f} with {_confidence(level)}; "
        f"{term.allowed:.4f} is allowed"
    ),
    "max_robustness_drop": lambda term, level, metric, rows: (
        f"{_change(term.value)} of {metric} on corrupted rows, at most {term.bound(level):.4f} with {_confidence(level)}; "
        f"{term.allowed:.4f} is allowed"
    ),
    "blockers": lambda term, level, metric, rows: " and ".join(term.reasons),  # type: ignore[attr-defined]
}
"""What is said of a term that is not shown, without its subject."""
