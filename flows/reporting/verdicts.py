"""The verdict of a run for each use case, as it stands in the run's record: one word, one sentence, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Word = Literal["released", "refused", "inconclusive", "error"]
EXIT_CODES: dict[Word, int] = {"error": 1, "refused": 3, "inconclusive": 4, "released": 0}
"""The exit code of each verdict, most severe verdict first: that of several use cases is the first that one of them has."""
CANCELLED_EXIT_CODE = 130
ENDED = ("Completed", "Failed", "Crashed")
"""States in which a run has a verdict. A cancelled run has none, and one under way has none yet."""
OLD_TERMS = {"objections": "blockers"}
"""Names of terms in older files, and their names now."""
RANK = {"kept": 0, "not shown": 1, "broken": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of the contract, checked for one candidate."""

    name: str
    allowed: Any = None
    value: Any = None
    bound: Any = None
    """The confidence bound that is compared with what is allowed."""
    p: float | None = None
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model of the release decision: a recipe or a classic baseline."""

    recipe: str
    kind: str = "recipe"
    status: str = ""
    why: str = ""
    p: float | None = None
    adjusted_p: float | None = None
    """The p-value after the correction for the number of candidates tried."""
    tried: bool = True
    """Whether it was tried on the rows that decide, after validation rows chose which to try."""
    cost: float | None = None
    needs: Mapping[str, int] = field(default_factory=dict)
    """About how many test `rows` and timed `processes`, in all, would show that the candidate keeps the contract."""
    terms: Sequence[Term] = ()

    @property
    def is_classic(self) -> bool:
        """Whether it is a classic baseline, not a compressed network."""
        return self.kind == "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict for one use case. `word` is empty while there is none; `sentence` then says why."""

    use_case: str
    word: Word | Literal[""]
    sentence: str
    released: str | None = None
    decision: Mapping[str, Any] = field(default_factory=dict)
    candidates: Sequence[Candidate] = ()

    @property
    def nearest(self) -> Candidate | None:
        """The candidate that is nearest to a release where nothing was released."""
        if self.released or not self.candidates:
            return None
        return min(self.candidates, key=_distance)

    @property
    def needs(self) -> str:
        """About how much evidence would decide, such as `about 700 more test rows`; empty if the verdict does not say."""
        parts = [f"about {self.more_rows:,} more test rows"] if self.more_rows else []
        parts += [f"{self.processes:,} processes of timing"] if self.processes else []
        return " and ".join(parts)

    @property
    def more_rows(self) -> int:
        """About how many more test rows would show that the nearest candidate keeps the contract; 0 if that is not known."""
        from tasks.release.sentences import round_up  # it loads SciPy, which few commands need

        needed = self._needs().get("rows")
        rows = self.decision.get("rows")
        return round_up(needed - rows) if isinstance(needed, int) and isinstance(rows, int) and needed > rows else 0

    @property
    def processes(self) -> int:
        """In how many processes the nearest candidate would have to be timed; 0 if that is not known."""
        needed = self._needs().get("processes")
        return needed if isinstance(needed, int) else 0

    def _needs(self) -> Mapping[str, int]:
        return self.nearest.needs if self.word == "inconclusive" and self.nearest else {}

    @property
    def line(self) -> str:
        """Word and sentence on one line, without saying the word twice."""
        repeated = self.sentence.lower().startswith(self.word) if self.word else True
        return self.sentence if repeated else f"{self.word}: {self.sentence}"


def of_record(record: Mapping[str, Any], state: str = "") -> list[Verdict]:
    """The verdict for each use case of a run's record; `state` replaces the recorded one, as for a run whose process is gone."""
    stages = {name: (str(entry.get("state", "")), str(entry.get("error", ""))) for name, entry in _map(record, "stages").items()}
    results = _map(record, "results")
    return [
        of_use_case(
            use_case,
            _map(results.get(use_case), "verdict"),
            state=state or str(record.get("state", "")),
            stages=stages,
            error=str(record.get("error") or ""),
        )
        for use_case in record.get("use_cases") or results
    ]


def of_use_case(
    use_case: str, content: Mapping[str, Any], *, state: str, stages: Mapping[str, tuple[str, str]], error: str = ""
) -> Verdict:
    """The verdict for one use case.

    Args:
        use_case: Its name.
        content: Its verdict.json, empty if it has none.
        state: The state of the run, such as `Completed`.
        stages: The state and the error of each stage of the run, by the stage's name.
        error: Why the run as a whole ended early.
    """
    if state not in ENDED:
        why = "the run was cancelled, so there is no verdict" if state == "Cancelled" else "the run has not ended"
        return Verdict(use_case=use_case, word="", sentence=why)
    own = {name: entry for name, entry in stages.items() if name.partition("@")[2].partition("-")[0] == use_case}
    failed = next((f"{name} failed: {why}" for name, (stage, why) in own.items() if stage in ("Failed", "Crashed")), "")
    if content and not failed:
        return parse(use_case, content)
    missing = "the run's process ended before the release" if state == "Crashed" else "the run ended without a release artifact"
    return Verdict(use_case=use_case, word="error", sentence=failed or error or missing)


def parse(use_case: str, content: Mapping[str, Any]) -> Verdict:
    """The verdict with this content of verdict.json.

    An older file has no key `verdict`: it is `released` if it names a model, else `refused`.
    """
    released = str(content["released"]) if content.get("released") else None
    recorded = content.get("verdict")
    word: Word = recorded if isinstance(recorded, str) and recorded in EXIT_CODES else "released" if released else "refused"
    sentence = str(content.get("reason") or "").removeprefix("nothing released: ").removeprefix(f"{word}: ")
    return Verdict(
        use_case=use_case,
        word=word,
        sentence=sentence,
        released=released,
        decision=_map(content, "decision"),
        candidates=[_candidate(each) for each in content.get("candidates") or () if isinstance(each, Mapping)],
    )


def overall(verdicts: Iterable[Verdict]) -> Word | Literal[""]:
    """The most severe verdict; empty without any."""
    words = {verdict.word for verdict in verdicts}
    return next((word for word in EXIT_CODES if word in words), "")


def exit_code(verdicts: Sequence[Verdict], state: str) -> int:
    """The exit code of a run's verdicts: 0 all released, 1 error, 3 any refused, 4 any inconclusive, 130 cancelled."""
    word = overall(verdicts)
    return CANCELLED_EXIT_CODE if state == "Cancelled" else EXIT_CODES[word] if word else 1


def summary(verdicts: Sequence[Verdict]) -> str:
    """The words of all use cases, such as `released`, or `vision released, nlp refused` where there are several."""
    decided = [verdict for verdict in verdicts if verdict.word]
    return ", ".join(f"{verdict.use_case} {verdict.word}" if len(verdicts) > 1 else verdict.word for verdict in decided)


def released_names(verdicts: Sequence[Verdict]) -> str:
    """What was released, such as `int8`, or `vision int8` where there are several use cases; empty where nothing was."""
    decided = [verdict for verdict in verdicts if verdict.released and verdict.word == "released"]
    return ", ".join(
        f"{verdict.use_case} {verdict.released}" if len(verdicts) > 1 else str(verdict.released) for verdict in decided
    )


def as_json(run_id: str, state: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The verdicts of a run as plain values: the overall word, the exit code, and each use case with its candidates."""
    return {
        "run": run_id,
        "state": state,
        "verdict": overall(verdicts) or None,
        "exit_code": exit_code(verdicts, state),
        "use_cases": {
            verdict.use_case: {
                "verdict": verdict.word or None,
                "reason": verdict.sentence,
                "released": verdict.released,
                "nearest": verdict.nearest.recipe if verdict.nearest else None,
                "needs": dict(verdict.nearest.needs) if verdict.nearest else {},
                "decision": dict(verdict.decision),
                "candidates": [asdict(candidate) for candidate in verdict.candidates],
            }
            for verdict in verdicts
        },
    }


def _candidate(content: Mapping[str, Any]) -> Candidate:
    return Candidate(
        recipe=str(content.get("recipe", "")),
        kind=str(content.get("kind") or "recipe"),
        status=str(content.get("status", "")),
        why=str(content.get("why") or ""),
        p=content.get("p"),
        adjusted_p=content.get("adjusted_p"),
        tried=content.get("tried") is not False,
        cost=content.get("cost"),
        needs=dict(_map(content, "needs")),
        terms=[_term(name, term) for name, term in _map(content, "terms").items() if isinstance(term, Mapping)],
    )


def _term(name: str, content: Mapping[str, Any]) -> Term:
    """A term; older files call its bound `at_most` or `at_least`."""
    bound = next((content[key] for key in ("bound", "at_most", "at_least") if content.get(key) is not None), None)
    return Term(
        name=OLD_TERMS.get(name, name),
        allowed=content.get("allowed"),
        value=content.get("value"),
        bound=bound,
        p=content.get("p"),
        status=str(content.get("status", "")),
    )


def _distance(candidate: Candidate) -> tuple[float, ...]:
    """Smaller is nearer, in the order that the release stage uses: terms broken, terms not shown, rows needed, cost."""
    broken = sum(term.status == "broken" for term in candidate.terms)
    missed = sum(term.status != "kept" for term in candidate.terms)
    needs = candidate.needs
    return RANK.get(candidate.status, 3), broken, missed, not needs, needs.get("rows") or 0, candidate.cost or 0.0


def _map(content: Any, key: str) -> Mapping[str, Any]:
    """A mapping inside a mapping; empty if it is missing or something else."""
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}
