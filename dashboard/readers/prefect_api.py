"""Client of the Prefect server's REST API: deployments, flow runs, schedules and workers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from flows import settings
from flows.execution import request_deduplication
from flows.runs import run_record as records
from flows.system import os_processes

TIMEOUT_S, TIMEOUT_TRIES = 10.0, 3
"""Timeout of a request, and its attempts in all; a busy server may lose a request."""
BUSY_S, BUSY_TRIES = 0.5, 10
FLOW = "pipeline"
SERVER_CACHE_S = 3.0
"""How long the result of the search for a server is cached."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of a deployment."""

    id: str
    active: bool
    cron: str = ""
    timezone: str = ""
    interval_s: float | None = None
    rrule: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed flow."""

    id: str
    name: str
    description: str
    paused: bool
    parameters: dict[str, Any]
    schedules: tuple[Schedule, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run as Prefect reports it."""

    id: str
    name: str
    state: str
    message: str
    at: str
    """Start time, or expected start time."""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worker:
    """A Prefect worker of a work pool."""

    name: str
    pool: str
    status: str
    last_heartbeat: str
    """Time of the last heartbeat."""


class RequestRefused(Unreadable):
    """The server rejected a request; holds its reason."""

    def __init__(self, reason: str) -> None:
        super().__init__("run.refused", reason=reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(slots=True)
class Server:
    """The Prefect server at a URL; requests carry its password and its CSRF token."""

    url: str
    auth: str = ""
    _client: str = field(default_factory=lambda: uuid.uuid4().hex)
    _token: str = ""
    _token_lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def deployments(self) -> list[Deployment]:
        """All deployments, sorted by name."""
        deployments = self._post("/deployments/filter", {"limit": 200})
        return sorted((_deployment(each) for each in deployments), key=lambda each: each.name)

    def start(self, deployment: Deployment, parameters: Mapping[str, Any], key: str) -> FlowRun:
        """Create a flow run; the same idempotency key gives the same run."""
        request = {"parameters": {**deployment.parameters, **parameters}, "idempotency_key": key, "tags": ["dashboard"]}
        return _flow_run(self._post(f"/deployments/{deployment.id}/create_flow_run", request))

    def flow_run(self, flow_run_id: str) -> FlowRun:
        return _flow_run(self._get(f"/flow_runs/{uuid.UUID(flow_run_id)}"))

    def flow_runs(self, deployment: Deployment, *, ahead: bool, limit: int = 3) -> list[FlowRun]:
        """The deployment's next runs (`ahead`), or its latest ones."""
        state = {"type": {"any_": ["SCHEDULED"]}} if ahead else {"type": {"not_any_": ["SCHEDULED"]}}
        query = {
            "deployments": {"id": {"any_": [deployment.id]}},
            "flow_runs": {"state": state},
            "sort": "EXPECTED_START_TIME_ASC" if ahead else "EXPECTED_START_TIME_DESC",
            "limit": limit,
        }
        return [_flow_run(each) for each in self._post("/flow_runs/filter", query)]

    def cancel(self, flow_run_id: str) -> None:
        """Cancel a flow run that is running or scheduled."""
        scheduled = self.flow_run(flow_run_id).state in ("Scheduled", "Late", "Pending", "AwaitingConcurrencySlot")
        state = {"type": "CANCELLED", "name": "Cancelled"} if scheduled else {"type": "CANCELLING", "name": "Cancelling"}
        answer = self._post(f"/flow_runs/{uuid.UUID(flow_run_id)}/set_state", {"state": state, "force": False})
        if answer.get("status") not in ("ACCEPT", None):
            raise RequestRefused(str((answer.get("details") or {}).get("reason") or answer.get("status")))

    def pause(self, deployment: Deployment, *, paused: bool) -> None:
        self._post(f"/deployments/{deployment.id}/{'pause' if paused else 'resume'}_deployment", {})

    def set_schedule(self, deployment: Deployment, schedule: Schedule, *, cron: str, timezone: str, active: bool) -> None:
        """Change a schedule; the server rejects an invalid cron expression or time zone."""
        changed = {"active": active, "schedule": {"cron": cron, "timezone": timezone or "UTC"}}
        self._send("PATCH", f"/deployments/{deployment.id}/schedules/{uuid.UUID(schedule.id)}", changed)

    def add_schedule(self, deployment: Deployment, *, cron: str, timezone: str, active: bool = True) -> None:
        added = [{"active": active, "schedule": {"cron": cron, "timezone": timezone or "UTC"}}]
        self._send("POST", f"/deployments/{deployment.id}/schedules", added, tries=1)  # twice would be two schedules

    def remove_schedule(self, deployment: Deployment, schedule: Schedule) -> None:
        self._send("DELETE", f"/deployments/{deployment.id}/schedules/{uuid.UUID(schedule.id)}")

    def workers(self) -> list[Worker]:
        """Prefect's own workers, by work pool."""
        pools = [str(pool["name"]) for pool in self._post("/work_pools/filter", {})]
        return [
            Worker(str(each["name"]), pool, str(each.get("status") or ""), str(each.get("last_heartbeat_time") or ""))
            for pool in pools
            for each in self._post(f"/work_pools/{urllib.parse.quote(pool, safe='')}/workers/filter", {})
        ]

    def version(self) -> str:
        return str(self._get("/admin/version"))

    def _get(self, path: str) -> Any:
        return self._send("GET", path)

    def _post(self, path: str, body: Any) -> Any:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Any = None, *, again: bool = True, tries: int = TIMEOUT_TRIES) -> Any:
        headers = self._headers(method)
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers)
        request.data = None if body is None else json.dumps(body).encode()
        try:
            content = _response_body(request, tries)
        except urllib.error.HTTPError as error:
            if error.code == 403 and again and method != "GET":
                with self._token_lock:
                    if self._token == headers["Prefect-Csrf-Token"]:  # else another thread has renewed it
                        self._token = ""
                return self._send(method, path, body, again=False, tries=tries)
            raise RequestRefused(_rejection_reason(error)) from None
        return json.loads(content) if content else {}

    def _headers(self, method: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.auth:
            headers["Authorization"] = f"Basic {b64encode(self.auth.encode()).decode()}"
        if method != "GET":
            with self._token_lock:  # a new token invalidates the previous one for every thread
                self._token = self._token or self._fresh_token(headers)
            headers |= {"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._client}
        return headers

    def _fresh_token(self, headers: Mapping[str, str]) -> str:
        request = urllib.request.Request(f"{self.url}/csrf-token?client={self._client}", headers=dict(headers))
        try:
            return str(json.loads(_response_body(request))["token"])
        except urllib.error.HTTPError as error:
            if error.code in (404, 422):  # the server uses no CSRF tokens
                return "none"
            raise RequestRefused(_rejection_reason(error)) from None


def _response_body(request: urllib.request.Request, tries: int = TIMEOUT_TRIES) -> bytes:
    """The response body. Retries while the server's database is busy, and up to `tries` times in all on timeouts."""
    busy = 0
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            if error.code != 503 or busy == BUSY_TRIES:
                raise
            busy += 1  # the database was locked by another request; this one has not started
            time.sleep(BUSY_S)
        except OSError as error:
            reason = getattr(error, "reason", error)
            tries -= 1
            if not isinstance(reason, TimeoutError | ConnectionResetError) or not tries:
                raise Unreadable("prefect.lost", reason=str(reason)) from None


_SERVERS: dict[Path, tuple[float, Server | None]] = {}
_SEARCH_LOCK = threading.Lock()


def server(root: Path) -> Server | None:
    """The running Prefect server, or None. All callers share one client and its token."""
    with _SEARCH_LOCK:
        at, current = _SERVERS.get(root, (-SERVER_CACHE_S, None))
        if time.monotonic() - at >= SERVER_CACHE_S:
            previous, current = current, _find_server(root)
            if previous and current and (previous.url, previous.auth) == (current.url, current.auth):
                current = previous
            _SERVERS[root] = (time.monotonic(), current)
    return current


def request_run(
    root: Path, use_cases: Sequence[str], recipes: Sequence[str], overrides: Mapping[str, Any], *, force: bool = False
) -> str:
    """Request a run and return the flow run's id; joins an identical run that is scheduled or running.

    Raises `Unreadable` when no server responds, `RequestRefused` when it rejects the request.
    """
    prefect = server(root)
    if prefect is None:
        raise Unreadable("prefect.none")
    parameters = {"use_cases": list(use_cases), "recipes": list(recipes) or None, "overrides": dict(overrides), "force": force}
    if twin := active_flow_run_id(root, parameters):
        return twin
    named = {each.name: each for each in prefect.deployments()}
    chosen = next((named[name] for name in (*use_cases, "all", FLOW) if name in named), None)
    if chosen is None:
        raise Unreadable("prefect.undeployed")

    def ask(key: str) -> tuple[str, bool]:
        flow_run = prefect.start(chosen, parameters, key)
        return flow_run.id, flow_run.state in records.FINAL_STATES

    return request_deduplication.request_once(root, {"deployment": chosen.name, **parameters}, ask)


def active_flow_run_id(root: Path, parameters: Mapping[str, Any]) -> str:
    """Id of the flow run of an active run with the same parameters, "" if there is none."""
    for run in run_records.latest(root, count=10):
        same = set(run.record.use_cases) == set(parameters["use_cases"]) and run.record.overrides == parameters["overrides"]
        if run.live and same and not parameters["force"] and not parameters["recipes"]:
            return str(run.record.prefect.get("flow_run_id", ""))
    return ""


def cancel(root: Path, run: Run) -> None:
    """Cancel a run: through its Prefect server, or else with SIGINT to its process."""
    prefect, flow_run_id = server(root), str(run.record.prefect.get("flow_run_id", ""))
    if prefect and flow_run_id:
        try:
            prefect.cancel(flow_run_id)
            return
        except RequestRefused:
            pass  # the run belongs to another server, such as the temporary one of a run in a terminal
    process = run.record.process
    if not process or not os_processes.is_alive(process):
        raise Unreadable("prefect.ended")
    os.kill(int(process["pid"]), signal.SIGINT)


def _find_server(root: Path) -> Server | None:
    url = os.environ.get("PREFECT_API_URL", "")
    if url:
        return Server(url.rstrip("/"), os.environ.get("PREFECT_API_AUTH_STRING", "")) if settings.is_healthy(url) else None
    own = settings.project_server(root)
    return Server(own["api_url"].rstrip("/"), own.get("auth_string", "")) if own else None


def _rejection_reason(error: urllib.error.HTTPError) -> str:
    try:
        detail = json.loads(error.read()).get("detail") or error.reason
    except (ValueError, AttributeError, OSError):
        detail = error.reason
    return formatting.clean(detail if isinstance(detail, str) else json.dumps(detail), 600)


def _deployment(data: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=str(uuid.UUID(data["id"])),
        name=str(data["name"]),
        description=str(data.get("description") or ""),
        paused=bool(data.get("paused")),
        parameters=dict(data.get("parameters") or {}),
        schedules=tuple(_schedule(each) for each in data.get("schedules") or ()),
        tags=tuple(map(str, data.get("tags") or ())),
    )


def _schedule(data: Mapping[str, Any]) -> Schedule:
    timing = data.get("schedule") or {}
    return Schedule(
        id=str(data["id"]),
        active=bool(data.get("active")),
        cron=str(timing.get("cron") or ""),
        timezone=str(timing.get("timezone") or ""),
        interval_s=timing.get("interval"),
        rrule=str(timing.get("rrule") or ""),
    )


def _flow_run(data: Mapping[str, Any]) -> FlowRun:
    state = data.get("state") or {}
    return FlowRun(
        id=str(data["id"]),
        name=str(data.get("name") or ""),
        state=str(state.get("name") or data.get("state_name") or ""),
        message=str(state.get("message") or ""),
        at=str(data.get("start_time") or data.get("expected_start_time") or ""),
        parameters=dict(data.get("parameters") or {}),
    )
