"""Serve the deployments: start a process for each run that is asked for or due, end it when it is cancelled, notice the dead."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from flows import settings

settings.apply(settings.project_root())

with settings.import_without_gc():
    from prefect.automations import Automation
    from prefect.client.orchestration import PrefectClient, get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
    from prefect.client.schemas.objects import FlowRun, StateType
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.exceptions import ObjectNotFound
    from prefect.runner import Runner
    from prefect.states import Cancelled, Cancelling, Crashed
    from prefect.types.entrypoint import EntrypointType

from flows.parameters.json_schema import request_schema  # noqa: E402
from flows.pipeline import pipeline  # noqa: E402
from flows.runs import recovery, run_record  # noqa: E402
from flows.services.deployments import DeploymentSpec, deployment_specs  # noqa: E402
from flows.system import os_processes  # noqa: E402
from tasks.__main__ import die_with_parent  # noqa: E402
from tasks.core.atomic_files import write_json  # noqa: E402

CHECK_INTERVAL_S = 10.0
"""How often runs are looked for that died without a word."""
SERVER_TIMEOUT_S = 180.0
HEARTBEAT_TIMEOUT = timedelta(seconds=3 * settings.HEARTBEAT_S)
ACTIVE_STATES = (StateType.RUNNING, StateType.CANCELLING)


async def serve(root: Path) -> None:
    """Serve until told to go; the runs at work are cancelled then."""
    async with get_client() as client:
        deployments = [await build_deployment(client, root, each) for each in deployment_specs(root)]
        runner = Runner(name="bonsai", pause_on_shutdown=False, query_seconds=1)
        served = [await runner.aadd_deployment(each) for each in deployments]
        await create_heartbeat_automation()
        await mark_crashed(client, root)
        await cancel_missed_runs(client, served)
        runner_task = asyncio.create_task(runner.start(webserver=False))
        watch_task = asyncio.create_task(watch_dead_runs(client, root))
        await asyncio.sleep(0)  # the runner has set its own handler, which waits for one run after the other
        stop_requested = asyncio.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, stop_requested.set)
        stop_task = asyncio.create_task(stop_requested.wait())
        write_json(root / ".prefect" / "runner.json", {"pid": os.getpid(), "deployments": [each.name for each in deployments]})
        await asyncio.wait({runner_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
        watch_task.cancel()
        stop_task.cancel()
        if not runner_task.done():
            await cancel_active_runs(client, served)
            await runner.astop()
        await runner_task


async def build_deployment(client: PrefectClient, root: Path, each: DeploymentSpec) -> RunnerDeployment:
    """The deployment as Prefect is to know it; schedules that a person changed stay until what is written down changes."""
    schedules, paused = [parse_schedule(schedule) for schedule in each.schedules], False
    known: DeploymentResponse | None = None
    with suppress(ObjectNotFound):  # it is served for the first time
        known = await client.read_deployment_by_name(f"{pipeline.name}/{each.name}")
    if known and known.version == each.version:
        paused = known.paused
        schedules = [
            DeploymentScheduleCreate(schedule=kept.schedule, active=kept.active, parameters=kept.parameters)
            for kept in known.schedules
        ]
    deployment: RunnerDeployment = await pipeline.ato_deployment(
        each.name,
        description=each.description,
        parameters=each.parameters,
        tags=list(each.tags),
        schedules=schedules or None,
        paused=paused,
        version=each.version,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    properties = deployment._parameter_openapi_schema.properties
    for name, schema in request_schema(root, each.parameters.get("use_cases") or ()).items():
        properties[name] = {**properties[name], **schema}
    return deployment


def parse_schedule(schedule: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """A schedule as prefect.yaml writes it, such as `{cron: "0 3 * * *", timezone: UTC, active: true}`."""
    timing = {name: value for name, value in schedule.items() if name not in ("active", "parameters")}
    rest = {name: value for name, value in schedule.items() if name in ("active", "parameters")}
    return DeploymentScheduleCreate.model_validate({"schedule": timing, **rest})


async def create_heartbeat_automation() -> None:
    """Have the server mark a run as crashed when it falls silent, wherever it runs."""
    name = "Silent runs have crashed"
    try:
        await Automation.aread(name=name)
    except ValueError:
        trigger = EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in (*run_record.FINAL, "Cancelling"))},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEARTBEAT_TIMEOUT,
        )
        action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="it fell silent", force=False)
        description = f"No heartbeat in {HEARTBEAT_TIMEOUT.seconds} s, with one promised every {settings.HEARTBEAT_S} s."
        await Automation(name=name, description=description, trigger=trigger, actions=[action]).acreate()


async def watch_dead_runs(client: PrefectClient, root: Path) -> None:
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        await mark_crashed(client, root)


async def mark_crashed(client: PrefectClient, root: Path) -> None:
    """Runs whose process is gone read Crashed, in their records and in Prefect."""
    dead = [run for run in run_record.active_runs(root) if not os_processes.is_alive(run.record.get("process"))]
    if dead:
        recovery.recover(root)
    for run in dead:
        if flow_run_id := run.record.get("prefect", {}).get("flow_run_id"):
            try:
                flow_run = await client.read_flow_run(flow_run_id)
            except ObjectNotFound:
                continue  # another server's
            if flow_run.state and not flow_run.state.is_final():
                await client.set_flow_run_state(flow_run.id, Crashed(message="its process died"), force=True)


async def cancel_missed_runs(client: PrefectClient, served: list[Any]) -> None:
    """Of the runs that were due while nobody served, the last of each deployment makes up for the others."""
    late = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=served)),
        flow_run_filter=FlowRunFilter.model_validate(
            {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": datetime.now(UTC)}}
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=200,
    )
    due = [each for each in late if each.auto_scheduled]
    for _, same in groupby(sorted(due, key=_deployment_and_time), key=lambda each: str(each.deployment_id)):
        for missed in list(same)[:-1]:
            await client.set_flow_run_state(missed.id, Cancelled(message="missed; a later one makes up for it"), force=True)


def _deployment_and_time(flow_run: FlowRun) -> tuple[str, datetime]:
    return str(flow_run.deployment_id), flow_run.expected_start_time or datetime.now(UTC)


async def cancel_active_runs(client: PrefectClient, served: list[Any]) -> None:
    """End all runs at work, at the same time; the runner hears of it and sees to it."""
    active_runs = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=served)),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": list(ACTIVE_STATES)}}}),
    )
    for each in active_runs:
        await client.set_flow_run_state(each.id, Cancelling(message="bonsai up ends"))
    deadline = asyncio.get_running_loop().time() + CHECK_INTERVAL_S
    while active_runs and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.2)
        active_runs = [each for each in active_runs if not await _ended(client, each)]


async def _ended(client: PrefectClient, flow_run: FlowRun) -> bool:
    state = (await client.read_flow_run(flow_run.id)).state
    return state is None or state.is_final()


def main(parent: int) -> None:
    """In a process of its own, which ends with its parent."""
    die_with_parent()
    if os.getppid() != parent:
        return  # it went before this one could be tied to it
    os.environ["BONSAI_RUNNER"] = str(os.getpid())  # its runs end with it
    root = settings.project_root()
    settings.is_healthy(os.environ["PREFECT_API_URL"], SERVER_TIMEOUT_S)
    asyncio.run(serve(root))


if __name__ == "__main__":
    main(int(sys.argv[1]))
