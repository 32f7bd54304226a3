"""Tell of new alarms: a webhook, notification blocks of Prefect, and events of Prefect for automations."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import urllib.error
import urllib.request
from typing import Any

from flows.monitoring.policy import Policy

TIMEOUT_S = 10.0


def send(use_case: str, alarms: list[dict[str, Any]], policy: Policy) -> list[str]:
    """Send each new alarm to all that the policy names; returns a line for each that could not be told."""
    if not alarms:
        return []
    failures = []
    if policy.webhook and (problem := _post(policy.webhook, {"use_case": use_case, "alarms": alarms})):
        failures.append(f"the webhook {policy.webhook} was not reached: {problem}")
    text = "\n".join(f"{alarm['model']}: {alarm['message']}" for alarm in alarms)
    subject = f"Bonsai: {len(alarms)} new alarm{'s' * (len(alarms) != 1)} of {use_case}"
    problems = {slug: _notify(slug, subject, text) for slug in policy.blocks}
    failures += [f"the block {slug} did not send: {problem}" for slug, problem in problems.items() if problem]
    if os.environ.get("PREFECT_API_URL"):
        _emit(use_case, alarms)
    return failures


def _post(address: str, content: dict[str, Any]) -> str:
    """POST JSON to an address; returns what went wrong, empty if nothing did."""
    if not address.startswith(("http://", "https://")):
        return "it is no http or https address"
    request = urllib.request.Request(
        address, json.dumps(content, ensure_ascii=False).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(error)[:200]


def _notify(slug: str, subject: str, text: str) -> str:
    """Send through a notification block; returns what went wrong, empty if nothing did."""
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.core import Block

    try:
        block = _finished(Block.load(slug))
        if not isinstance(block, NotificationBlock):
            return "it is no notification block"
        _finished(block.notify(body=text, subject=subject))
    except Exception as error:  # whatever a block raises must not keep the other alarms from being sent
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def _finished(result: Any) -> Any:
    """What a call of Prefect returns, which may be a coroutine that is still to run."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def _emit(use_case: str, alarms: list[dict[str, Any]]) -> None:
    """One event for each alarm, on which automations of Prefect can act."""
    from prefect.events import emit_event

    for alarm in alarms:
        emit_event(
            event=f"bonsai.alarm.{alarm['kind']}",
            resource={"prefect.resource.id": f"bonsai.use-case.{use_case}", "prefect.resource.name": use_case},
            payload=alarm,
        )
