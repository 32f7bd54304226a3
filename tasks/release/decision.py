"""The release decision: which candidates are tried on test rows, which keep the contract, and which one is released.

Candidates are ordered, and those to try are chosen, on validation rows; test rows, which chose nothing, decide. A candidate
keeps the contract if every term is shown, so its p-value is the largest of its terms (R. Berger, Technometrics 24, 1982).
Over the candidates tried, S. Holm's procedure (Scandinavian Journal of Statistics 6, 1979) keeps the probability that any
candidate that breaks the contract is accepted at 5 %; so any of the accepted ones may be released.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Literal

from tasks.core.settings import Contract
from tasks.evaluation.statistics import LEVEL, holm
from tasks.release.evidence import Evidence
from tasks.release.paired_tests import PairedDrop

ALPHA = 1 - LEVEL
MAX_TRIED = 5
MIN_POWER = 0.1
"""A candidate that would pass with a smaller probability, by its validation rows, is not tried."""
POWER_TOLERANCE = 0.02
TIE_FACTOR = 1.05
"""Costs within this factor count as equal, because timings are no more precise."""

Kind = Literal["recipe", "baseline"]
Status = Literal["kept", "not shown", "broken"]
RANK: dict[Status, int] = {"kept": 0, "not shown": 1, "broken": 2}


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A model that may be released: what was measured of it on validation rows, and the evidence for each term."""

    name: str
    kind: Kind
    cost: float
    """Its share of dense's bytes times its share of dense's time at batch 1; lower is better."""
    score: float
    """The first metric on validation, negated where lower is better."""
    terms: Mapping[str, Evidence]
    """The evidence for each term, from test rows or a clock."""
    validation_drop: PairedDrop | None = None
    excluded: str = ""
    """Why validation rows rule it out; empty if they do not."""
    level: float = LEVEL
    """The confidence level at which its terms must be shown, after Holm."""
    adjusted_p: float = 1.0
    tried: bool = False

    @property
    def p(self) -> float:
        """The p-value of the hypothesis that it breaks the contract."""
        return max((evidence.p_value() for evidence in self.terms.values()), default=0.0)

    @property
    def kept(self) -> bool:
        """Whether it is shown to keep the contract."""
        return self.tried and self.adjusted_p <= ALPHA

    def status_of(self, term: str) -> Status:
        """Whether the term is shown to be kept, shown to be broken, or neither."""
        p = self.terms[term].p_value()
        return "kept" if p <= 1 - self.level else "broken" if p >= LEVEL else "not shown"

    @property
    def status(self) -> Status:
        """Whether the candidate is shown to keep the contract, shown to break it, or neither."""
        if self.kept:
            return "kept"
        return "broken" if any(self.status_of(term) == "broken" for term in self.terms) else "not shown"

    @property
    def missed(self) -> list[str]:
        """The terms that are not shown to be kept, those shown to be broken first."""
        missed = [term for term in self.terms if self.status_of(term) != "kept"]
        return sorted(missed, key=lambda term: -RANK[self.status_of(term)])

    def needs(self) -> dict[str, int]:
        """About how many rows and processes would show that it keeps the contract; empty if no number would."""
        total: dict[str, int] = {}
        for term in self.missed:
            needed = self.terms[term].needs(self.level)
            if not needed:
                return {}
            total |= {name: max(count, total.get(name, 0)) for name, count in needed.items()}
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of the procedure, before it is put into words."""

    verdict: Literal["released", "refused", "inconclusive"]
    released: Candidate | None
    candidates: Sequence[Candidate]
    contract: Contract
    rows: int
    tried: list[str] = field(default_factory=list)


def decide(candidates: Sequence[Candidate], contract: Contract, rows: int) -> Decision:
    """Try the candidates chosen on validation on `rows` test rows, and choose the one of least cost that keeps the contract.

    Of about equal costs the best on validation is chosen. The verdict is `refused` if every candidate is shown to break a term,
    and `inconclusive` if some are shown neither way.
    """
    tried = plan(candidates, contract.max_drop, rows)
    adjust(tried)
    kept = [candidate for candidate in tried if candidate.kept]
    least = min((candidate.cost for candidate in kept), default=0.0)
    ties = [candidate for candidate in kept if candidate.cost <= least * TIE_FACTOR]
    chosen = max(ties, key=lambda one: (one.score, -one.cost), default=None)
    refused = all(candidate.status == "broken" for candidate in candidates)
    return Decision(
        verdict="released" if chosen else "refused" if refused else "inconclusive",
        released=chosen,
        candidates=candidates,
        contract=contract,
        rows=rows,
        tried=[candidate.name for candidate in tried],
    )


def plan(candidates: Sequence[Candidate], max_drop: float, rows: int) -> list[Candidate]:
    """The candidates to try, at most `MAX_TRIED`, chosen without a look at a test row.

    Trying more costs power for each of them. For each number of tries, the drops and spreads on validation give the probability
    that at least one is shown to keep `max_drop`, as if their outcomes were independent. The largest number is chosen that
    comes within `POWER_TOLERANCE` of the highest probability, because a cheaper model may be among those added.
    """

    def power(candidate: Candidate, number: int) -> float:
        drop = candidate.validation_drop
        return drop.assurance(max_drop, 1 - ALPHA / number, rows) if drop else 1.0

    able = [candidate for candidate in candidates if not candidate.excluded]
    hopeful = [candidate for candidate in able if power(candidate, 1) >= MIN_POWER]
    if not hopeful:
        hopeful = sorted(able, key=lambda one: (-power(one, 1), one.cost))[:1]
    plans: list[tuple[float, list[Candidate]]] = []
    for number in range(1, min(MAX_TRIED, len(hopeful)) + 1):
        chosen = sorted(hopeful, key=lambda one: (-round(power(one, number), 1), one.cost))[:number]
        plans.append((1 - prod(1 - power(candidate, number) for candidate in chosen), chosen))
    highest = max((probability for probability, _ in plans), default=0.0)
    best = [chosen for probability, chosen in plans if probability >= highest - POWER_TOLERANCE]
    return sorted(best[-1], key=lambda one: one.cost) if best else []


def adjust(tried: Sequence[Candidate]) -> None:
    """Set the p-values of the candidates tried, adjusted by Holm's procedure, and the level at which each is tested.

    The procedure ends with the first candidate that is not shown; those after it keep the level of that one.
    """
    order = sorted(tried, key=lambda one: one.p)
    level = LEVEL
    for rank, (candidate, adjusted) in enumerate(zip(order, holm([one.p for one in order]), strict=True)):
        if rank == 0 or order[rank - 1].kept:
            level = 1 - ALPHA / (len(order) - rank)
        candidate.tried, candidate.adjusted_p, candidate.level = True, adjusted, level


def nearest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in the order of how little is missing: terms broken, terms not shown, rows needed, cost."""

    def missing(candidate: Candidate) -> tuple[float, ...]:
        broken = sum(candidate.status_of(term) == "broken" for term in candidate.terms)
        needs = candidate.needs()
        return (broken, len(candidate.missed), not needs, needs.get("rows", 0), candidate.cost)

    return sorted(candidates, key=missing)


def as_json(decision: Decision, words: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict as plain values; `words` holds the reason, and per candidate the misses and the reason."""
    return {
        "verdict": decision.verdict,
        "released": decision.released.name if decision.released else None,
        "reason": words["reason"],
        "decision": {
            "split": "test",
            "rows": decision.rows,
            "level": LEVEL,
            "tried": len(decision.tried),
            "method": f"each term shown on test rows, Holm over {len(decision.tried)} of {len(decision.candidates)} candidates",
        },
        "contract": asdict(decision.contract),
        "candidates": [_candidate_json(candidate, words[candidate.name]) for candidate in decision.candidates],
    }


def _candidate_json(candidate: Candidate, words: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": candidate.name,
        "kind": candidate.kind,
        "status": candidate.status,
        "terms": {
            name: {
                "allowed": evidence.allowed,
                "value": evidence.value,
                "bound": evidence.bound(candidate.level),
                "level": candidate.level,
                "p": evidence.p_value(),
                "status": candidate.status_of(name),
                "needs": evidence.needs(candidate.level) if candidate.status_of(name) != "kept" else {},
            }
            for name, evidence in candidate.terms.items()
        },
        "p": candidate.p,
        "adjusted_p": candidate.adjusted_p,
        "tried": candidate.tried,
        "excluded": candidate.excluded,
        "cost": candidate.cost,
        "score": candidate.score,
        "needs": candidate.needs() if candidate.status == "not shown" else {},
        "misses": words["misses"],
        "why": words["why"],
    }
