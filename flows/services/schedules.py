"""When deployments run by themselves: list, pause, resume, set and trigger them on the server that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from flows import settings
from tasks.core.errors import UserError

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MAX_DEPLOYMENTS = 200


@dataclass(frozen=True, slots=True)
class DeploymentTiming:
    """One deployment and when it runs."""

    name: str
    when: str
    """In Prefect's terms, such as `0 3 * * *`; empty if only when asked."""
    timezone: str
    state: str
    """`on`, `paused`, or empty if it has no schedule."""
    due: datetime | None
    """When it will run next."""


class ScheduleClient:
    """The deployments of a server. A wrong name or timing is a `UserError`."""

    def __init__(self, root: Path, client: Any) -> None:
        self.root = root
        self.client = client

    def all(self) -> list[DeploymentTiming]:
        found = sorted(self.client.read_deployments(limit=MAX_DEPLOYMENTS), key=lambda each: str(each.name))
        now = datetime.now(UTC)
        timed = []
        for each in found:
            runs = self.client.get_scheduled_flow_runs_for_deployments([each.id], limit=20) if each.schedules else []
            dues = [run.expected_start_time for run in runs if run.expected_start_time > now]
            active = [kept for kept in each.schedules if kept.active]
            timed.append(
                DeploymentTiming(
                    str(each.name),
                    "; ".join(format_schedule(kept.schedule) for kept in each.schedules),
                    ", ".join(dict.fromkeys(str(kept.schedule.timezone or "UTC") for kept in each.schedules)),
                    ("on" if active and not each.paused else "paused") if each.schedules else "",
                    min(dues, default=None),
                )
            )
        return timed

    def pause(self, name: str) -> None:
        self.client.pause_deployment(self._deployment(name).id)

    def resume(self, name: str) -> None:
        self.client.resume_deployment(self._deployment(name).id)

    def set(self, name: str, timing: Mapping[str, Any]) -> str:
        """Let it run by `timing` (as `parse_timing` gives it) and by nothing else; gives the timing in words."""
        from prefect.client.schemas.actions import DeploymentScheduleCreate
        from pydantic import ValidationError

        found = self._deployment(name)
        try:
            wanted = DeploymentScheduleCreate.model_validate({"schedule": dict(timing), "active": True})
        except ValidationError as error:
            reasons = [str(each["msg"]).removeprefix("Value error, ") for each in error.errors() if each["type"] == "value_error"]
            raise UserError(f"not a schedule: {reasons[0] if reasons else timing}") from None
        self.client.create_deployment_schedules(found.id, [(wanted.schedule, True)])
        for kept in found.schedules:
            self.client.delete_deployment_schedule(found.id, kept.id)
        if found.paused:
            self.client.resume_deployment(found.id)
        return format_schedule(wanted.schedule)

    def trigger(self, name: str, overrides: Mapping[str, Any]) -> tuple[str, str]:
        """Ask for a run now; gives its name and id. Joins one that was asked for the same and is not done."""
        from prefect.exceptions import PrefectHTTPStatusError

        from flows.execution.request_deduplication import once

        found = self._deployment(name)
        parameters = {**found.parameters, **({"overrides": dict(overrides)} if overrides else {})}
        names = {}

        def ask(key: str) -> tuple[str, bool]:
            made = self.client.create_flow_run_from_deployment(
                found.id, parameters=parameters, idempotency_key=key, tags=["command line"]
            )
            names[str(made.id)] = made.name
            return str(made.id), bool(made.state and made.state.is_final())

        try:
            made = once(self.root, {"deployment": name, **parameters}, ask)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise
            raise UserError(str(error.response.json().get("detail", error))) from None
        return names[made], made

    def _deployment(self, name: str) -> Any:
        found = {str(each.name): each for each in self.client.read_deployments(limit=MAX_DEPLOYMENTS)}
        if name not in found:
            near = get_close_matches(name, found, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"no deployment {name!r}; {hint}There is: {', '.join(sorted(found)) or 'nothing'}")
        return found[name]


@contextmanager
def schedule_client(root: Path) -> Iterator[ScheduleClient]:
    """The timetable of the server that runs; a `UserError` when none does."""
    settings.apply(root)
    if not settings.find_server(root):
        raise UserError("no Prefect server runs here; start `bonsai up` in another terminal")
    with settings.import_without_gc():
        from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        yield ScheduleClient(root, client)


def parse_timing(cron: str, every: str, rrule: str, timezone: str) -> dict[str, Any]:
    """A timing from what was typed; exactly one of the three."""
    given = [name for name, value in (("--cron", cron), ("--every", every), ("--rrule", rrule)) if value]
    if len(given) != 1:
        raise UserError(f"say when by one of --cron, --every and --rrule, got {' and '.join(given) or 'none'}")
    if every:
        return {"interval": parse_time_span(every), "timezone": timezone}
    return {"cron": cron, "timezone": timezone} if cron else {"rrule": rrule, "timezone": timezone}


def parse_time_span(text: str) -> timedelta:
    """`90s`, `30m`, `6h`, `1d`, `2w`."""
    found = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip())
    if not found or not int(found[1]):
        raise UserError(f"--every {text!r} is not a time span; write 30m, 6h or 1d")
    return timedelta(seconds=int(found[1]) * UNIT_SECONDS[found[2]])


def format_schedule(schedule: Any) -> str:
    """A schedule as it is written."""
    if getattr(schedule, "interval", None) is not None:
        seconds = int(schedule.format_interval.total_seconds())
        unit = next(unit for unit, size in reversed(UNIT_SECONDS.items()) if seconds % size == 0)
        return f"every {seconds // UNIT_SECONDS[unit]}{unit}"
    return " ".join(str(getattr(schedule, "cron", None) or getattr(schedule, "rrule", "")).split())
