"""Ask Prefect's server for runs, and for what it knows of them, over its public interface; no server is an answer too."""

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

from dashboard.readers import run_records
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import Run
from dashboard.text import formatting
from flows import settings
from flows.execution import request_deduplication
from flows.runs import run_record as records
from flows.system import os_processes

TIMEOUT_S, TIMEOUT_TRIES = 10.0, 3
"""How long an answer is waited for, and how often it is asked for in all; a busy server may lose a request."""
BUSY_S, BUSY_TRIES = 0.5, 10
FLOW = "pipeline"
ASKED_AGAIN_S = 3.0
"""How long an answer to "is there a server?" is believed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a deployment runs by itself."""

    id: str
    active: bool
    cron: str = ""
    timezone: str = ""
    interval_s: float | None = None
    rrule: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow that can be asked for by name."""

    id: str
    name: str
    description: str
    paused: bool
    parameters: dict[str, Any]
    schedules: tuple[Schedule, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRun:
    """What Prefect says of one run."""

    id: str
    name: str
    state: str
    message: str
    at: str
    """When it began or is to begin."""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker of Prefect's that takes up runs of its pool."""

    name: str
    pool: str
    status: str
    heard: str
    """When it last said that it lives."""


class Refused(Unreadable):
    """The server's answer to a request it will not grant, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__("run.refused", reason=reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(slots=True)
class Server:
    """Prefect's server at an address; requests carry its password and the token that keeps other web pages out."""

    url: str
    auth: str = ""
    _client: str = field(default_factory=lambda: uuid.uuid4().hex)
    _token: str = ""
    _asking: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def deployments(self) -> list[Deployment]:
        """All that can be asked for, by name."""
        found = self._post("/deployments/filter", {"limit": 200})
        return sorted((_deployment(each) for each in found), key=lambda each: each.name)

    def start(self, deployment: Deployment, parameters: Mapping[str, Any], key: str) -> FlowRun:
        """Ask for a run; the same key twice is the same run."""
        asked = {"parameters": {**deployment.parameters, **parameters}, "idempotency_key": key, "tags": ["dashboard"]}
        return _flow_run(self._post(f"/deployments/{deployment.id}/create_flow_run", asked))

    def flow_run(self, flow_run_id: str) -> FlowRun:
        return _flow_run(self._get(f"/flow_runs/{uuid.UUID(flow_run_id)}"))

    def flow_runs(self, deployment: Deployment, *, ahead: bool, limit: int = 3) -> list[FlowRun]:
        """Its next runs (`ahead`), or its last ones."""
        state = {"type": {"any_": ["SCHEDULED"]}} if ahead else {"type": {"not_any_": ["SCHEDULED"]}}
        asked = {
            "deployments": {"id": {"any_": [deployment.id]}},
            "flow_runs": {"state": state},
            "sort": "EXPECTED_START_TIME_ASC" if ahead else "EXPECTED_START_TIME_DESC",
            "limit": limit,
        }
        return [_flow_run(each) for each in self._post("/flow_runs/filter", asked)]

    def cancel(self, flow_run_id: str) -> None:
        """Ask for the end of a run that is under way or still waits."""
        scheduled = self.flow_run(flow_run_id).state in ("Scheduled", "Late", "Pending", "AwaitingConcurrencySlot")
        state = {"type": "CANCELLED", "name": "Cancelled"} if scheduled else {"type": "CANCELLING", "name": "Cancelling"}
        answer = self._post(f"/flow_runs/{uuid.UUID(flow_run_id)}/set_state", {"state": state, "force": False})
        if answer.get("status") not in ("ACCEPT", None):
            raise Refused(str((answer.get("details") or {}).get("reason") or answer.get("status")))

    def pause(self, deployment: Deployment, *, paused: bool) -> None:
        self._post(f"/deployments/{deployment.id}/{'pause' if paused else 'resume'}_deployment", {})

    def set_schedule(self, deployment: Deployment, schedule: Schedule, *, cron: str, timezone: str, active: bool) -> None:
        """Change when it runs; a wrong cron line or zone is refused."""
        changed = {"active": active, "schedule": {"cron": cron, "timezone": timezone or "UTC"}}
        self._send("PATCH", f"/deployments/{deployment.id}/schedules/{uuid.UUID(schedule.id)}", changed)

    def add_schedule(self, deployment: Deployment, *, cron: str, timezone: str, active: bool = True) -> None:
        added = [{"active": active, "schedule": {"cron": cron, "timezone": timezone or "UTC"}}]
        self._send("POST", f"/deployments/{deployment.id}/schedules", added, tries=1)  # twice would be two schedules

    def remove_schedule(self, deployment: Deployment, schedule: Schedule) -> None:
        self._send("DELETE", f"/deployments/{deployment.id}/schedules/{uuid.UUID(schedule.id)}")

    def workers(self) -> list[Worker]:
        """Prefect's own workers, pool by pool."""
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
            content = _answer(request, tries)
        except urllib.error.HTTPError as error:
            if error.code == 403 and again and method != "GET":
                with self._asking:
                    if self._token == headers["Prefect-Csrf-Token"]:  # else somebody has fetched another meanwhile
                        self._token = ""
                return self._send(method, path, body, again=False, tries=tries)
            raise Refused(_reason(error)) from None
        return json.loads(content) if content else {}

    def _headers(self, method: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.auth:
            headers["Authorization"] = f"Basic {b64encode(self.auth.encode()).decode()}"
        if method != "GET":
            with self._asking:  # a fresh token ends the one before, for every thread that has it
                self._token = self._token or self._fresh_token(headers)
            headers |= {"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._client}
        return headers

    def _fresh_token(self, headers: Mapping[str, str]) -> str:
        request = urllib.request.Request(f"{self.url}/csrf-token?client={self._client}", headers=dict(headers))
        try:
            return str(json.loads(_answer(request))["token"])
        except urllib.error.HTTPError as error:
            if error.code in (404, 422):  # the server does not ask for tokens
                return "none"
            raise Refused(_reason(error)) from None


def _answer(request: urllib.request.Request, tries: int = TIMEOUT_TRIES) -> bytes:
    """What the server says; asked for again while its database is busy, and `tries` times in all when no answer comes."""
    busy = 0
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            if error.code != 503 or busy == BUSY_TRIES:
                raise
            busy += 1  # another request had the database; this one was not begun
            time.sleep(BUSY_S)
        except OSError as error:
            reason = getattr(error, "reason", error)
            tries -= 1
            if not isinstance(reason, TimeoutError | ConnectionResetError) or not tries:
                raise Unreadable("conductor.lost", reason=str(reason)) from None


_SEEN: dict[Path, tuple[float, Server | None]] = {}
_LOOKING = threading.Lock()


def server(root: Path) -> Server | None:
    """The server to ask, None when there is none that answers. All who ask share one, and its token."""
    with _LOOKING:
        at, found = _SEEN.get(root, (-ASKED_AGAIN_S, None))
        if time.monotonic() - at >= ASKED_AGAIN_S:
            kept, found = found, _look(root)
            if kept and found and (kept.url, kept.auth) == (found.url, found.auth):
                found = kept
            _SEEN[root] = (time.monotonic(), found)
    return found


def request_run(
    root: Path, use_cases: Sequence[str], recipes: Sequence[str], overrides: Mapping[str, Any], *, force: bool = False
) -> str:
    """Ask for a run and give the flow run's id; joins an identical one that waits or is under way.

    Raises `Unreadable` when no server answers, `Refused` when it will not.
    """
    found = server(root)
    if found is None:
        raise Unreadable("conductor.none")
    parameters = {"use_cases": list(use_cases), "recipes": list(recipes) or None, "overrides": dict(overrides), "force": force}
    if twin := active_runs(root, parameters):
        return twin
    named = {each.name: each for each in found.deployments()}
    chosen = next((named[name] for name in (*use_cases, "all", FLOW) if name in named), None)
    if chosen is None:
        raise Unreadable("conductor.undeployed")

    def ask(key: str) -> tuple[str, bool]:
        flow_run = found.start(chosen, parameters, key)
        return flow_run.id, flow_run.state in records.FINAL_STATES

    return request_deduplication.request_once(root, {"deployment": chosen.name, **parameters}, ask)


def active_runs(root: Path, parameters: Mapping[str, Any]) -> str:
    """The flow run of a live run that was asked for the same, "" if there is none."""
    for run in run_records.latest(root, count=10):
        same = set(run.record.use_cases) == set(parameters["use_cases"]) and run.record.overrides == parameters["overrides"]
        if run.live and same and not parameters["force"] and not parameters["recipes"]:
            return str(run.record.prefect.get("flow_run_id", ""))
    return ""


def cancel(root: Path, run: Run) -> None:
    """End a run: through the server that conducts it, or else as Ctrl-C in its terminal would."""
    found, flow_run_id = server(root), str(run.record.prefect.get("flow_run_id", ""))
    if found and flow_run_id:
        try:
            found.cancel(flow_run_id)
            return
        except Refused:
            pass  # another server's run: one that was started from a terminal with a server of its own
    process = run.record.process
    if not process or not os_processes.is_alive(process):
        raise Unreadable("conductor.ended")
    os.kill(int(process["pid"]), signal.SIGINT)


def _look(root: Path) -> Server | None:
    url = os.environ.get("PREFECT_API_URL", "")
    if url:
        return Server(url.rstrip("/"), os.environ.get("PREFECT_API_AUTH_STRING", "")) if settings.is_healthy(url) else None
    own = settings.project_server(root)
    return Server(own["api_url"].rstrip("/"), own.get("auth_string", "")) if own else None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        said = json.loads(error.read()).get("detail") or error.reason
    except (ValueError, AttributeError, OSError):
        said = error.reason
    return formatting.clean(said if isinstance(said, str) else json.dumps(said), 600)


def _deployment(found: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=str(uuid.UUID(found["id"])),
        name=str(found["name"]),
        description=str(found.get("description") or ""),
        paused=bool(found.get("paused")),
        parameters=dict(found.get("parameters") or {}),
        schedules=tuple(_schedule(each) for each in found.get("schedules") or ()),
        tags=tuple(map(str, found.get("tags") or ())),
    )


def _schedule(found: Mapping[str, Any]) -> Schedule:
    timing = found.get("schedule") or {}
    return Schedule(
        id=str(found["id"]),
        active=bool(found.get("active")),
        cron=str(timing.get("cron") or ""),
        timezone=str(timing.get("timezone") or ""),
        interval_s=timing.get("interval"),
        rrule=str(timing.get("rrule") or ""),
    )


def _flow_run(found: Mapping[str, Any]) -> FlowRun:
    state = found.get("state") or {}
    return FlowRun(
        id=str(found["id"]),
        name=str(found.get("name") or ""),
        state=str(state.get("name") or found.get("state_name") or ""),
        message=str(state.get("message") or ""),
        at=str(found.get("start_time") or found.get("expected_start_time") or ""),
        parameters=dict(found.get("parameters") or {}),
    )
