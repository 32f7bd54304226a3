"""Champion and challenger on the same labelled requests: which is right more often, and what the policy makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flows.monitoring.policy import Policy
from flows.promotion import point, rollback
from flows.registry import history
from flows.request_log import reader
from tasks.monitoring.paired import compare as compare_answers

COLUMNS = ("model", "predicted", "value", "shadow_model", "shadow_predicted", "shadow_value")
BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


def compare(root: Path, use_case: str, policy: Policy) -> dict[str, Any] | None:
    """What the labelled requests that both answered say; None without a champion or a challenger.

    A number is right where it is nearer to the label than that of the other model. The probability of a wrong `outcome` is at
    most `shadow_alpha` for each of the two, however often one looks.
    """
    registered = history.read(root, use_case)
    champion, challenger = registered.at(history.CHAMPION), registered.at(history.CHALLENGER)
    if champion is None or challenger is None or champion == challenger:
        return None
    rows = reader.read_labelled(root, use_case, columns=COLUMNS).sort_values("labelled_at", kind="stable")
    rows = rows[(rows["model"] == champion.name) & (rows["shadow_model"] == challenger.name)]
    if rows["predicted"].notna().any():
        rows = rows[rows["predicted"].notna() & rows["shadow_predicted"].notna()]
        right, other = (rows["predicted"] == rows["label"]).to_numpy(), (rows["shadow_predicted"] == rows["label"]).to_numpy()
    else:
        import pandas as pd

        label = pd.to_numeric(rows["label"], errors="coerce")
        errors = [(rows[name] - label).abs().to_numpy(np.float64) for name in ("value", "shadow_value")]
        right, other = errors[0] < errors[1], errors[1] < errors[0]
    evidence = compare_answers(right, other, policy.shadow_alpha)
    threshold = float(np.log(1 / policy.shadow_alpha))
    outcome = BETTER if evidence.better >= threshold else WORSE if evidence.worse >= threshold else UNDECIDED
    return {
        "champion": champion.name,
        "challenger": challenger.name,
        "rows": evidence.rows,
        "gained": evidence.gained,
        "lost": evidence.lost,
        "difference": evidence.difference,
        "low": evidence.low,
        "high": evidence.high,
        "evidence_better": evidence.better / np.log(10),
        "evidence_worse": evidence.worse / np.log(10),
        "threshold": threshold / np.log(10),
        "alpha": policy.shadow_alpha,
        "outcome": outcome,
    }


def decide(root: Path, use_case: str, comparison: dict[str, Any] | None, policy: Policy) -> str:
    """Promote, or roll back, a challenger that is shown better, if the policy says so; a sentence, empty while nothing is shown.

    A challenger that the champion replaced before is a rollback.
    """
    if comparison is None or comparison["outcome"] == UNDECIDED:
        return ""
    champion, challenger = comparison["champion"], comparison["challenger"]
    figures = (
        f"on {comparison['rows']:,} labelled requests it is right {comparison['gained']} times where {champion} is wrong, and "
        f"wrong {comparison['lost']} times where that is right (sequential McNemar test, error at most {comparison['alpha']:g})"
    )
    if comparison["outcome"] == WORSE:
        return f"{challenger} is shown worse than {champion}: {figures}; it stays the challenger until another one is named"
    if policy.promote == "never":
        hint = f"`bonsai promote {use_case} {challenger}` makes it the champion"
        return f"{challenger} is shown better than {champion}: {figures}; {hint}"
    registered = history.read(root, use_case)
    stack = registered.aliases.get(history.CHAMPION, [])
    number, before = registered.find(challenger).number, registered.find(champion).number
    if len(stack) > 1 and stack[-2] == number:
        rollback(root, use_case)
        verb = "rolled back"
    else:
        point(root, use_case, history.CHAMPION, number, f"in shadow, {figures}")
        verb = "promoted"
    point(root, use_case, history.CHALLENGER, before, "it was the champion before")
    return f"{verb}: {challenger} is the champion, since {figures}; {champion} is the challenger now"
