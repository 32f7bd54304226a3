"""The Prefect flow: run the stages of dvc.yaml for some use cases, one task per stage, each stage in its own process."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Event
from typing import Annotated, Any
from uuid import UUID

from flows import settings

settings.apply(settings.project_root())

from prefect import flow, get_run_logger, runtime, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State, TaskRun  # noqa: E402
from prefect.context import TaskRunContext  # noqa: E402
from prefect.exceptions import TerminationSignal  # noqa: E402
from prefect.futures import PrefectFuture  # noqa: E402
from prefect.settings import PREFECT_API_URL  # noqa: E402
from prefect.states import Cancelled, Completed, Failed, Running  # noqa: E402
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner  # noqa: E402
from prefect.tasks import Task, exponential_backoff  # noqa: E402
from prefect.utilities.engine import emit_task_run_state_change_event  # noqa: E402

from flows.dvc_state.publish import publish  # noqa: E402
from flows.dvc_state.stage_graph import Stage  # noqa: E402
from flows.dvc_state.stage_state import StageStore  # noqa: E402
from flows.execution import request_deduplication, run_artifacts  # noqa: E402
from flows.execution.concurrency_limits import acquire_tag_slots  # noqa: E402
from flows.execution.plan import stage_durations  # noqa: E402
from flows.execution.progress_artifacts import ProgressReporter  # noqa: E402
from flows.execution.run_executor import SUCCEEDED, RunExecutor  # noqa: E402
from flows.execution.waiting_line import WaitingLine, expected_durations  # noqa: E402
from flows.parameters import run_request  # noqa: E402
from flows.parameters.json_schema import JsonSchemaHint  # noqa: E402
from flows.reporting import verdicts  # noqa: E402
from flows.reporting.console import NullDisplay, RunDisplay, format_event, one_line  # noqa: E402
from flows.runs import recovery, run_record  # noqa: E402
from flows.runs.workspace import create_workspace  # noqa: E402
from flows.system import machine_usage  # noqa: E402
from tasks.__main__ import die_with_parent  # noqa: E402
from tasks.core.params_file import read_params  # noqa: E402

SHOW: ContextVar[RunDisplay] = ContextVar("SHOW")
"""Shows the run in this process; the command line sets it to its screen."""
EXECUTOR: ContextVar[RunExecutor] = ContextVar("EXECUTOR")
PROGRESS: ContextVar[ProgressReporter] = ContextVar("PROGRESS")
ON_SERVER_LOST: ContextVar[Callable[[], None]] = ContextVar("ON_SERVER_LOST")
"""Called at the end of a run whose server is gone; Prefect would retry its last requests for minutes."""

QUEUED = "Queued"
POLL_S = 0.5
"""How often the flow checks for signals while it waits for its tasks."""
SERVER_PATIENCE_S = float(os.environ.get("BONSAI_SERVER_PATIENCE_S", "60"))
"""How long a server may be away before a run ends without it."""

RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner()
"""One thread per stage; most of them wait for upstream stages or for the machine's slots."""


def run_name() -> str:
    """A flow run's name: its use cases and overrides."""
    parameters = runtime.flow_run.parameters
    names = "+".join(parameters.get("use_cases") or ["all"])
    changes = " ".join(f"{name}={value}" for name, value in (parameters.get("overrides") or {}).items())
    return f"{names} {changes}".strip()[:120]


@flow(name="pipeline", flow_run_name=run_name, task_runner=RUNNER, persist_result=False)
def pipeline(
    use_cases: Annotated[list[str] | None, JsonSchemaHint("use_cases")] = None,
    recipes: Annotated[list[str] | None, JsonSchemaHint("recipes")] = None,
    overrides: Annotated[dict[str, Any] | None, JsonSchemaHint("overrides")] = None,
    force: bool = False,
) -> State[Any]:
    """Train a model for each use case, compress it by each recipe, and compare the recipes.

    Args:
        use_cases: Names of stanzas in params.yaml; all of them if empty.
        recipes: Recipes to compare with the dense baseline; all of them if empty.
        overrides: Parameters for this run only, such as {"training.epochs": 3}.
        force: Run every stage, whether or not it changed.
    """
    if os.environ.get("BONSAI_RUNNER") == str(os.getppid()):
        die_with_parent()
    root, show = settings.project_root(), SHOW.get(NullDisplay())
    for line in recovery.recover(root):
        show.message(line, "yellow")
    request = run_request.build_request(root, use_cases or (), recipes or (), overrides)
    run = run_record.create(root, request, trigger=trigger(), force=force)
    with record_failure(run):
        create_workspace(root, run.folder, request)
        flow_run_id = UUID(str(runtime.flow_run.id))
        flow_run = {"flow_run_id": str(flow_run_id), "name": runtime.flow_run.name}
        request_hash = request_deduplication.request_hash(root, request, force=force)
        run.update(state="Running", started_at=run_record.now(), prefect=flow_run, request=request_hash)
        with (
            chdir(run.folder),
            log_to_file(run.folder / "flow.log"),
            machine_usage.measured(run.folder),
            StageStore(run.folder) as store,
            ProgressReporter() as progress,
        ):
            run.update(stages={name: {"state": "Pending", "needs": list(stage.needs)} for name, stage in store.stages.items()})
            show.begin(run.id, list(store.stages))
            order = WaitingLine(expected_durations(store.stages, stage_durations(root), read_params(Path("params.yaml")).recipes))
            EXECUTOR.set(executor := RunExecutor(root, run, store, show, force, acquire_limits=acquire_tag_slots, line=order))
            PROGRESS.set(progress)
            state = run_stages(executor)
        server_lost = not is_server_available()
        if not server_lost:
            run_artifacts.create_artifacts(run, flow_run_id)
    if request.unmodified:
        with chdir(root):
            names = [name for name, entry in run.record["stages"].items() if entry["state"] in SUCCEEDED]
            skipped = publish(root, store.entries(names), on_message=lambda line: show.message(line, "yellow"))
            run.update(reflected=not skipped)
        for line in skipped:
            show.message(f"not published in the project's own folder: {line}", "yellow")
    if server_lost:
        show.message("Prefect's server is gone; the run's own record is complete", "yellow")
        ON_SERVER_LOST.get(lambda: None)()
    if state == "Completed":
        return Completed(message=f"run {run.id}: {verdicts.summary(verdicts.of_record(run.record))}")
    error = str(run.record["error"])
    return Cancelled(message=error) if state == "Cancelled" else Failed(message=error)


def trigger() -> str:
    """The entry point by which the run was requested: `command line`, or the name of a deployment and what started it."""
    name, tags = runtime.deployment.name, runtime.flow_run.tags or []
    if not name:
        return "command line"
    return f"{'schedule' if 'auto-scheduled' in tags else 'dashboard' if 'dashboard' in tags else 'deployment'} {name}"


def serialize_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the flow's parameters, which are plain values already; Prefect would import FastAPI for that (0.3 CPU-s)."""
    return dict(parameters)


pipeline.serialize_parameters = serialize_parameters  # type: ignore[method-assign]
JsonSchemaHint.enabled = True


def run_stages(executor: RunExecutor) -> str:
    """Submit every stage as a task that waits for its upstream stages, wait for all of them, and return the run's state.

    A stage that Prefect could not start, as when its server is away, is executed without it.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    with handle_signals(executor.stop) as interrupted:
        try:
            for name, stage in executor.store.stages.items():
                needs = [futures[need] for need in stage.needs if need in futures]
                futures[name] = as_task(stage).submit(name, return_state=False, wait_for=needs)
            wait_for_all(futures.values(), until=interrupted)
            if interrupted.is_set():
                executor.show.message("stopping: running stages have a few seconds to clean up", "yellow")
                wait_for_all(futures.values())
            for name in executor.ready_stages():
                executor.execute(name)
        except BaseException as error:
            executor.stop.set()
            wait_for_all(futures.values())
            executor.finish(f"{type(error).__name__}: {one_line(error)}")
            raise
    if interrupted.is_set():
        executor.finish(cancelled=True)
        return "Cancelled"
    return executor.finish()


def is_server_available() -> bool:
    """Whether Prefect's server accepts connections, or does again soon; True for one that Prefect started for itself."""
    url = PREFECT_API_URL.value()
    return not url or settings.accepts_connections(url, SERVER_PATIENCE_S)


def wait_for_all(futures: Iterable[PrefectFuture[Any]], until: Event | None = None) -> None:
    """Wait until all tasks have ended, or `until` is set."""
    for future in futures:
        done = Event()
        future.add_done_callback(lambda _, done=done: done.set())  # type: ignore[misc]
        while not (until and until.is_set()) and not done.wait(POLL_S):
            pass


@contextmanager
def handle_signals(stop: Event) -> Iterator[Event]:
    """Set `stop` and the yielded event on SIGINT and SIGTERM.

    The exception that Python or Prefect would raise instead is lost when it arrives in a library's cleanup code, and the run
    would go on.
    """
    interrupted = Event()

    def handler(*_: object) -> None:
        interrupted.set()
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler_before in previous.items():
            signal.signal(number, handler_before)


def as_task(stage: Stage) -> Task[[str], State[Any]]:
    """The Prefect task of one stage, with the retries of dvc.yaml and exponential backoff."""
    return run_stage.with_options(
        name=stage.verb,
        task_run_name=stage.name.replace("{", "{{").replace("}", "}}"),
        description=stage.desc,
        retries=max(1, int(stage.meta.get("retries", 0))),
        retry_delay_seconds=exponential_backoff(float(stage.meta.get("retry_delay_s", 1))),
    )


def should_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether to retry: always after a process was ended from outside, else as often as dvc.yaml says.

    There is no retry after a `UserError`, nor when the run was stopped.
    """
    executor = EXECUTOR.get()
    if state.name == "Refused" or executor.stop.is_set():
        return False
    return state.name == "Lost" or task_run.run_count <= int(executor.store.stages[task_run.name].meta.get("retries", 0))


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=should_retry)
def run_stage(name: str) -> State[Any]:
    """Execute one stage and return its final state; the events of its log are forwarded to Prefect."""
    executor, reporter, log = EXECUTOR.get(), PROGRESS.get(), get_run_logger()
    context = TaskRunContext.get()
    assert context is not None
    task_run = context.task_run
    if task_run.run_count > 1:
        log.info("attempt %d", task_run.run_count)

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress" and task_run.flow_run_id:
            reporter.report(name, int(event["done"]), int(event["total"]), task_run.flow_run_id, task_run.id)
        elif event["event"] == "waits" and task_run.state_name != QUEUED:
            log.info("waiting for a free slot")
            show_state(task_run, Running(name=QUEUED))
        elif event["event"] == "started" and task_run.state_name == QUEUED:
            show_state(task_run, Running())
        elif text := format_event(event):
            log.log(logging.WARNING if event.get("level") == "warning" else logging.INFO, "%s", text)

    result = executor.execute(name, on_event)
    if result.state == "Cancelled":
        return Cancelled(message=result.text)
    if result.state == "Failed":
        return Failed(name="Refused" if result.user_error else "Lost" if result.interrupted else "Failed", message=result.text)
    return Completed(name=result.state, message=result.text)


def show_state(task_run: TaskRun, state: State[Any]) -> None:
    """Set the state that Prefect shows for a running task."""
    state.state_details.task_run_id, state.state_details.flow_run_id = task_run.id, task_run.flow_run_id
    before, task_run.state = task_run.state, state
    task_run.state_id, task_run.state_type, task_run.state_name = state.id, state.type, state.name
    emit_task_run_state_change_event(task_run=task_run, initial_state=before, validated_state=state)


@contextmanager
def record_failure(run: run_record.Run) -> Iterator[None]:
    """Write a final state to the run's record when the block raises."""
    try:
        yield
    except BaseException as error:
        if run.record["state"] not in run_record.FINAL_STATES:
            stopped = isinstance(error, KeyboardInterrupt | TerminationSignal)
            reason = "was stopped by hand" if stopped else f"{type(error).__name__}: {one_line(error)}"
            run.update(state="Cancelled" if stopped else "Failed", error=reason, ended_at=run_record.now())
        raise


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Write the log of Prefect and the libraries to a file in the run's folder; the console is for the run itself."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
