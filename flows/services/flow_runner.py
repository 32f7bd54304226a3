"""The deployment runner: starts a process for each requested or scheduled run, cancels it on request, detects crashed runs."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from flows import settings

settings.apply(settings.project_root())

with settings.import_without_gc():
    from prefect import Flow
    from prefect.automations import Automation
    from prefect.client.orchestration import PrefectClient, get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.client.schemas.objects import FlowRun, State, StateType
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.exceptions import ObjectNotFound
    from prefect.runner import Runner
    from prefect.states import Cancelled, Cancelling, Crashed
    from prefect.types.entrypoint import EntrypointType

from flows.monitor import monitor  # noqa: E402
from flows.parameters.json_schema import request_schema  # noqa: E402
from flows.pipeline import pipeline  # noqa: E402
from flows.runs import recovery, run_record  # noqa: E402
from flows.services.deployments import MONITOR, PIPELINE, DeploymentSpec, deployment_specs  # noqa: E402
from flows.system import os_processes  # noqa: E402
from tasks.__main__ import die_with_parent  # noqa: E402
from tasks.core.errors import UserError  # noqa: E402
from tasks.core.storage.atomic_files import write_json  # noqa: E402

CHECK_INTERVAL_S = 10.0
"""Seconds between two searches for runs whose process has died."""
RENEW_INTERVAL_S = 3.0
"""Seconds between two looks for a new use case."""
SERVER_TIMEOUT_S = 180.0
HEARTBEAT_TIMEOUT = timedelta(seconds=3 * settings.HEARTBEAT_S)
FLOWS: Mapping[str, Flow[..., Any]] = {PIPELINE: pipeline, MONITOR: monitor}
ACTIVE_STATES = (StateType.RUNNING, StateType.CANCELLING)


async def serve(root: Path) -> None:
    """Serve the deployments until SIGTERM or SIGINT, then cancel the active runs."""
    async with get_client() as client:
        deployments = [await build_deployment(client, root, spec) for spec in deployment_specs(root)]
        runner = Runner(name="bonsai", pause_on_shutdown=False, query_seconds=1)
        served = [await runner.aadd_deployment(each) for each in deployments]
        await create_heartbeat_automation()
        await mark_crashed(client, root)
        await cancel_missed_runs(client, served)
        runner_task = asyncio.create_task(runner.start(webserver=False))
        watch_task = asyncio.create_task(watch_dead_runs(client, root))
        renew_task = asyncio.create_task(serve_new_use_cases(client, runner, root, served))
        await asyncio.sleep(0)  # first the runner sets its own signal handler, which ends one run after the other
        stop_requested = asyncio.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sig, stop_requested.set)
        stop_task = asyncio.create_task(stop_requested.wait())
        write_json(root / ".prefect" / "runner.json", {"pid": os.getpid(), "deployments": [each.name for each in deployments]})
        await asyncio.wait({runner_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
        watch_task.cancel()
        renew_task.cancel()
        stop_task.cancel()
        if not runner_task.done():
            await cancel_active_runs(client, served)
            await runner.astop()
        await runner_task


async def serve_new_use_cases(client: PrefectClient, runner: Runner, root: Path, served: list[Any]) -> None:
    """Serve the deployments anew whenever params.yaml or the use cases in it changed; adds the ids of new ones to `served`."""
    last = definition(root)
    while True:
        await asyncio.sleep(RENEW_INTERVAL_S)
        if (present := definition(root)) == last:
            continue
        last = present
        importlib.invalidate_caches()
        try:
            for spec in deployment_specs(root):
                deployment = await runner.aadd_deployment(await build_deployment(client, root, spec))
                if deployment not in served:
                    served.append(deployment)
        except (UserError, ValueError, ImportError) as error:
            print(f"the deployments stay as they are: {error}", file=sys.stderr, flush=True)


def definition(root: Path) -> tuple[tuple[str, int], ...]:
    """What the deployments follow from: params.yaml, prefect.yaml and the modules of use cases, with their modification times."""
    use_cases = sorted((root / "tasks" / "use_cases").glob("*/use_case.py"))
    paths = [root / "params.yaml", root / "prefect.yaml", *use_cases]
    return tuple((str(path), path.stat().st_mtime_ns) for path in paths if path.exists())


async def build_deployment(client: PrefectClient, root: Path, spec: DeploymentSpec) -> RunnerDeployment:
    """The deployment for Prefect's runner. Schedules changed in Prefect are kept until the spec itself changes."""
    deployed = FLOWS[spec.flow]
    schedules, paused = [parse_schedule(schedule) for schedule in spec.schedules], False
    existing: DeploymentResponse | None = None
    with suppress(ObjectNotFound):  # served for the first time
        existing = await client.read_deployment_by_name(f"{deployed.name}/{spec.name}")
    if existing and existing.version == spec.version:
        paused = existing.paused
        schedules = [
            DeploymentScheduleCreate(schedule=one.schedule, active=one.active, parameters=one.parameters)
            for one in existing.schedules
        ]
    deployment: RunnerDeployment = await deployed.ato_deployment(
        spec.name,
        description=spec.description,
        parameters=spec.parameters,
        tags=list(spec.tags),
        schedules=schedules or None,
        paused=paused,
        version=spec.version,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if spec.flow != PIPELINE:
        return deployment
    properties = deployment._parameter_openapi_schema.properties
    for name, schema in request_schema(root, spec.parameters.get("use_cases") or ()).items():
        properties[name] = {**properties[name], **schema}
    return deployment


def parse_schedule(schedule: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """A schedule of prefect.yaml, such as `{cron: "0 3 * * *", timezone: UTC, active: true}`, for Prefect's API."""
    timing = {name: value for name, value in schedule.items() if name not in ("active", "parameters")}
    options = {name: value for name, value in schedule.items() if name in ("active", "parameters")}
    return DeploymentScheduleCreate.model_validate({"schedule": timing, **options})


async def create_heartbeat_automation() -> None:
    """Make the server mark a run as crashed when its heartbeats stop, on whatever machine it runs."""
    name = "Silent runs have crashed"  # identifies it on the server; another name would add a second automation
    try:
        await Automation.aread(name=name)
    except ValueError:
        trigger = EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                *(f"prefect.flow-run.{state}" for state in (*run_record.FINAL_STATES, "Cancelling")),
            },
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEARTBEAT_TIMEOUT,
        )
        action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="its heartbeats stopped", force=False)
        description = f"No heartbeat for {HEARTBEAT_TIMEOUT.seconds} s; one is due every {settings.HEARTBEAT_S} s."
        await Automation(name=name, description=description, trigger=trigger, actions=[action]).acreate()


async def watch_dead_runs(client: PrefectClient, root: Path) -> None:
    done = set[str]()
    while True:
        await mark_crashed(client, root)
        await reconcile_states(client, root, done)
        await asyncio.sleep(CHECK_INTERVAL_S)


async def mark_crashed(client: PrefectClient, root: Path) -> None:
    """Set the state of every run whose process has died to Crashed, in its record and in Prefect."""
    dead = [run for run in run_record.active_runs(root) if not os_processes.is_alive(run.record.get("process"))]
    if dead:
        recovery.recover(root)
    for run in dead:
        if flow_run_id := run.record.get("prefect", {}).get("flow_run_id"):
            try:
                flow_run = await client.read_flow_run(flow_run_id)
            except ObjectNotFound:
                continue  # a run of another server
            if flow_run.state and not flow_run.state.is_final():
                await client.set_flow_run_state(flow_run.id, Crashed(message="its process died"), force=True)


async def reconcile_states(client: PrefectClient, root: Path, done: set[str]) -> None:
    """Set in Prefect the state of every recent run whose record says that it ended otherwise, as after the machine was suspended.

    `done` holds the flow runs that agree already; those that agree now are added.
    """
    for run in run_record.recent_runs(root):
        flow_run_id, ended = str(run.record["prefect"].get("flow_run_id", "")), run.record["state"]
        skip = run_record.is_foreign(run.folder) or ended not in run_record.FINAL_STATES
        if not flow_run_id or flow_run_id in done or skip:
            continue
        try:
            flow_run = await client.read_flow_run(UUID(flow_run_id))
        except (ObjectNotFound, ValueError):
            done.add(flow_run_id)  # a run of another server
            continue
        state = flow_run.state
        if state and not state.is_final() and os_processes.is_alive(run.record.get("process")):
            continue  # it is about to say so itself
        if state and state.type.value != ended.upper():
            recorded = State(type=StateType(ended.upper()), name=ended, message="as the run's own record says")
            await client.set_flow_run_state(flow_run.id, recorded, force=True)
        done.add(flow_run_id)


async def cancel_missed_runs(client: PrefectClient, served: list[Any]) -> None:
    """Of the scheduled runs missed while no runner served, keep the last one of each deployment and cancel the others."""
    late = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=served)),
        flow_run_filter=FlowRunFilter.model_validate(
            {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": datetime.now(UTC)}}
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=200,
    )
    scheduled = [each for each in late if each.auto_scheduled]
    for _, runs in groupby(sorted(scheduled, key=_deployment_and_time), key=lambda each: str(each.deployment_id)):
        for missed in list(runs)[:-1]:
            await client.set_flow_run_state(missed.id, Cancelled(message="missed; a later scheduled run replaces it"), force=True)


def _deployment_and_time(flow_run: FlowRun) -> tuple[str, datetime]:
    return str(flow_run.deployment_id), flow_run.expected_start_time or datetime.now(UTC)


async def cancel_active_runs(client: PrefectClient, served: list[Any]) -> None:
    """Cancel all active runs at once and wait until they have ended, for `CHECK_INTERVAL_S` at most."""
    active_runs = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=served)),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": list(ACTIVE_STATES)}}}),
    )
    for each in active_runs:
        await client.set_flow_run_state(each.id, Cancelling(message="`bonsai up` was stopped"))
    deadline = asyncio.get_running_loop().time() + CHECK_INTERVAL_S
    while active_runs and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.2)
        active_runs = [each for each in active_runs if not await _ended(client, each)]


async def _ended(client: PrefectClient, flow_run: FlowRun) -> bool:
    state = (await client.read_flow_run(flow_run.id)).state
    return state is None or state.is_final()


def main(parent: int) -> None:
    """Serve in a process of its own, which ends when its parent does."""
    die_with_parent()
    if os.getppid() != parent:
        return  # the parent ended before `die_with_parent` took effect
    os.environ["BONSAI_RUNNER"] = str(os.getpid())  # read by its runs, which end with it
    root = settings.project_root()
    settings.is_healthy(os.environ["PREFECT_API_URL"], SERVER_TIMEOUT_S)
    asyncio.run(serve(root))


if __name__ == "__main__":
    main(int(sys.argv[1]))
