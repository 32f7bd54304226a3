"""Schedules of deployments on the running Prefect server: list, pause, resume, set; and trigger a run."""

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
    """A deployment, its schedules and its next run."""

    name: str
    schedule: str
    """Its schedules as text, such as `0 3 * * *`; empty if it runs on demand only."""
    timezone: str
    state: str
    """`on`, `paused`, or empty if it has no schedule."""
    next_run: datetime | None


class ScheduleClient:
    """Access to the deployments of a Prefect server. Raises `UserError` for an unknown deployment or an invalid schedule."""

    def __init__(self, root: Path, client: Any) -> None:
        self.root = root
        self.client = client

    def deployments(self) -> list[DeploymentTiming]:
        """All deployments, sorted by name."""
        now = datetime.now(UTC)
        timings = []
        for each in sorted(self.client.read_deployments(limit=MAX_DEPLOYMENTS), key=lambda each: str(each.name)):
            runs = self.client.get_scheduled_flow_runs_for_deployments([each.id], limit=20) if each.schedules else []
            start_times = [run.expected_start_time for run in runs if run.expected_start_time > now]
            active = any(one.active for one in each.schedules)
            timings.append(
                DeploymentTiming(
                    str(each.name),
                    "; ".join(format_schedule(one.schedule) for one in each.schedules),
                    ", ".join(dict.fromkeys(str(one.schedule.timezone or "UTC") for one in each.schedules)),
                    ("on" if active and not each.paused else "paused") if each.schedules else "",
                    min(start_times, default=None),
                )
            )
        return timings

    def pause(self, name: str) -> None:
        self.client.pause_deployment(self._deployment(name).id)

    def resume(self, name: str) -> None:
        self.client.resume_deployment(self._deployment(name).id)

    def set(self, name: str, timing: Mapping[str, Any]) -> str:
        """Replace the schedules of the deployment by `timing` (see `parse_timing`); returns the new schedule as text."""
        from prefect.client.schemas.actions import DeploymentScheduleCreate
        from pydantic import ValidationError

        deployment = self._deployment(name)
        try:
            new = DeploymentScheduleCreate.model_validate({"schedule": dict(timing), "active": True})
        except ValidationError as error:
            reasons = [str(each["msg"]).removeprefix("Value error, ") for each in error.errors() if each["type"] == "value_error"]
            raise UserError(f"not a schedule: {reasons[0] if reasons else timing}") from None
        self.client.create_deployment_schedules(deployment.id, [(new.schedule, True)])
        for old in deployment.schedules:
            self.client.delete_deployment_schedule(deployment.id, old.id)
        if deployment.paused:
            self.client.resume_deployment(deployment.id)
        return format_schedule(new.schedule)

    def trigger(self, name: str, overrides: Mapping[str, Any]) -> tuple[str, str]:
        """Request a run of the deployment now; returns the flow run's name and id.

        An identical request that has not ended yet is joined: its name and id are returned.
        """
        from prefect.exceptions import PrefectHTTPStatusError

        from flows.execution.request_deduplication import request_once

        deployment = self._deployment(name)
        parameters = {**deployment.parameters, **({"overrides": dict(overrides)} if overrides else {})}
        names = {}

        def create_flow_run(idempotency_key: str) -> tuple[str, bool]:
            flow_run = self.client.create_flow_run_from_deployment(
                deployment.id, parameters=parameters, idempotency_key=idempotency_key, tags=["command line"]
            )
            names[str(flow_run.id)] = flow_run.name
            return str(flow_run.id), bool(flow_run.state and flow_run.state.is_final())

        try:
            flow_run_id = request_once(self.root, {"deployment": name, **parameters}, create_flow_run)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise
            raise UserError(str(error.response.json().get("detail", error))) from None
        return names[flow_run_id], flow_run_id

    def _deployment(self, name: str) -> Any:
        deployments = {str(each.name): each for each in self.client.read_deployments(limit=MAX_DEPLOYMENTS)}
        if name not in deployments:
            near = get_close_matches(name, deployments, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"no deployment {name!r}; {hint}available: {', '.join(sorted(deployments)) or 'none'}")
        return deployments[name]


@contextmanager
def schedule_client(root: Path) -> Iterator[ScheduleClient]:
    """A client of the running Prefect server; raises `UserError` when there is none."""
    settings.apply(root)
    if not settings.find_server(root):
        raise UserError("no Prefect server is running here; start `bonsai up` in another terminal")
    with settings.import_without_gc():
        from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        yield ScheduleClient(root, client)


def parse_timing(cron: str, every: str, rrule: str, timezone: str) -> dict[str, Any]:
    """The schedule that the options describe, for Prefect's API; raises `UserError` unless exactly one of three is set."""
    options = [name for name, value in (("--cron", cron), ("--every", every), ("--rrule", rrule)) if value]
    if len(options) != 1:
        raise UserError(f"set exactly one of --cron, --every and --rrule, got {' and '.join(options) or 'none'}")
    if every:
        return {"interval": parse_time_span(every), "timezone": timezone}
    return {"cron": cron, "timezone": timezone} if cron else {"rrule": rrule, "timezone": timezone}


def parse_time_span(text: str) -> timedelta:
    """`90s`, `30m`, `6h`, `1d`, `2w` as a time span; raises `UserError` for anything else."""
    match = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip())
    if not match or not int(match[1]):
        raise UserError(f"--every {text!r} is not a time span; write 30m, 6h or 1d")
    return timedelta(seconds=int(match[1]) * UNIT_SECONDS[match[2]])


def format_schedule(schedule: Any) -> str:
    """A Prefect schedule as text, such as `every 6h` or `0 3 * * *`."""
    if getattr(schedule, "interval", None) is not None:
        seconds = int(schedule.interval.total_seconds())
        unit = next(unit for unit, size in reversed(UNIT_SECONDS.items()) if seconds % size == 0)
        return f"every {seconds // UNIT_SECONDS[unit]}{unit}"
    return " ".join(str(getattr(schedule, "cron", None) or getattr(schedule, "rrule", "")).split())
