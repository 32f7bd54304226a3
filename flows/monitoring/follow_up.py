"""What follows from a look: alarms are sent, a challenger may be promoted, and a run on new rows may be started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.monitoring import alarms, notifications, retraining, shadow
from flows.monitoring.policy import read_policy
from tasks.core.errors import UserError

Start = Callable[[str, dict[str, Any]], str]
"""Request a run of a use case with parameters of its own; returns the id of the request."""


def follow_up(root: Path, use_case: str, report: dict[str, Any], start: Start | None = None) -> list[str]:
    """Act on a report as the policy says; returns a line for whatever was done or failed."""
    policy = read_policy(root, use_case)
    new, lines = list(report["new_alarms"]), []
    if sentence := shadow.decide(root, use_case, report["shadow"], policy):
        alarm = alarms.Alarm("shadow", report["shadow"]["challenger"], max(_evidence(report["shadow"])), sentence)
        new += alarms.record(root, use_case, report["model"], [alarm])
        lines.append(sentence)
    lines += notifications.send(use_case, new, policy)
    try:
        lines += retraining.adopt_finished(root, use_case)
        drifted = any(alarm["kind"] == "drift" for alarm in report["alarms"])
        if drifted and policy.retrain == "on_drift" and start:
            lines += retraining.retrain(root, use_case, report["model"], policy.min_labels, start)
    except UserError as error:
        lines.append(f"no new run: {error}")
    return lines


def _evidence(comparison: dict[str, Any]) -> tuple[float, float]:
    return comparison["evidence_better"], comparison["evidence_worse"]
