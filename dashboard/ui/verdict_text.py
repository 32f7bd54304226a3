"""The sentence of a verdict in a language other than that of the artifact, worded from its figures."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.text import formatting
from dashboard.ui.locale import t, word
from flows.reporting.verdicts import Candidate, Term, Verdict

SHARES = ("max_size_share",)
FACTS = ("max_drop", "min_speedup", "max_size_share")
"""The terms that the sentence of a release names, where the contract has them."""


def sentence(verdict: Verdict) -> str:
    """The verdict of a decision in one sentence; empty where it was not decided by a contract, such as for an error."""
    rows = verdict.decision.get("rows")
    tested = formatting.number(rows) if isinstance(rows, int) else formatting.NOTHING
    if verdict.word == "released":
        chosen = next((each for each in verdict.candidates if each.recipe == verdict.released), None)
        if chosen is None:
            return ""
        facts = [_fact(term) for term in chosen.terms if term.name in FACTS]
        return t("verdict_text.released", recipe=str(verdict.released), rows=tested, facts=t("verdict_text.comma").join(facts))
    if verdict.word not in ("refused", "inconclusive"):
        return ""
    if not verdict.candidates or verdict.nearest is None:
        return t("verdict_text.no_candidate")
    missed = _missed(verdict.nearest)
    return t(
        f"verdict_text.{verdict.word}",
        count=len(verdict.candidates),
        recipe=verdict.nearest.recipe,
        rows=tested,
        missed=t("verdict_text.comma").join(_fact(term) for term in missed),
    )


def candidate_reason(candidate: Candidate) -> str:
    """Why a candidate is or is not released, by the terms that it misses."""
    missed = _missed(candidate)
    if not missed:
        return t("verdict_text.keeps_all")
    return t("verdict_text.misses", missed=t("verdict_text.comma").join(_fact(term) for term in missed))


def _missed(candidate: Candidate) -> Sequence[Term]:
    """The terms that are not kept, those broken before those not shown."""
    return sorted((term for term in candidate.terms if term.status != "kept"), key=lambda term: term.status != "broken")


def _fact(term: Term) -> str:
    """One term: what was measured, its confidence bound, and what is allowed."""
    value, bound, allowed = (_figure(term.name, each) for each in (term.value, term.bound, term.allowed))
    key = "verdict_text.fact_bound" if term.bound is not None and term.bound != term.value else "verdict_text.fact"
    return t(key, term=word("term", term.name), value=value, bound=bound, allowed=allowed)


def _figure(name: str, value: object) -> str:
    if isinstance(value, str):
        return formatting.clean(value, 80)
    return formatting.percent(value) if name in SHARES else formatting.number(value, 4)
