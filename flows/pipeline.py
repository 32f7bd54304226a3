"""The Prefect flow: play dvc.yaml for some use cases, a task per stage, each stage in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from flows.dvc_state.stage_state import StageStore, working_directory  # noqa: E402
from flows.execution import request_deduplication, run_artifacts  # noqa: E402
from flows.execution.concurrency_limits import admitted  # noqa: E402
from flows.execution.progress_artifacts import ProgressReporter  # noqa: E402
from flows.execution.run_executor import GOOD, RunExecutor  # noqa: E402
from flows.parameters import run_request  # noqa: E402
from flows.parameters.json_schema import JsonSchemaHint  # noqa: E402
from flows.reporting.console import NullDisplay, RunDisplay, format_event  # noqa: E402
from flows.runs import recovery, run_record  # noqa: E402
from flows.runs.workspace import create_workspace  # noqa: E402
from tasks.__main__ import die_with_parent  # noqa: E402

SHOW: ContextVar[RunDisplay] = ContextVar("SHOW")
"""Who follows the run in this process; the command line puts its screen here."""
CONCERT: ContextVar[RunExecutor] = ContextVar("CONCERT")
RELAY: ContextVar[ProgressReporter] = ContextVar("RELAY")
UNHEARD: ContextVar[Callable[[], None]] = ContextVar("UNHEARD")
"""What to do at the end of a run whose server is gone; Prefect would try for minutes to tell it."""

QUEUED = "Queued"
LOOK_UP_S = 0.5
"""How often the flow looks up from waiting for its tasks."""
GONE_S = float(os.environ.get("BONSAI_SERVER_PATIENCE_S", "60"))
"""How long a server that was ended may take to come back before a run goes on without it."""

RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner()
"""A thread for each stage of a run; most of them wait, for what they need or for the machine's slots."""


def run_name() -> str:
    """A flow run's name: its use cases, and what was set."""
    asked = runtime.flow_run.parameters
    names = "+".join(asked.get("use_cases") or ["all"])
    changes = " ".join(f"{name}={value}" for name, value in (asked.get("overrides") or {}).items())
    return f"{names} {changes}".strip()[:120]


@flow(name="pipeline", flow_run_name=run_name, task_runner=RUNNER, persist_result=False)
def pipeline(
    use_cases: Annotated[list[str] | None, JsonSchemaHint("use_cases")] = None,
    recipes: Annotated[list[str] | None, JsonSchemaHint("recipes")] = None,
    overrides: Annotated[dict[str, Any] | None, JsonSchemaHint("overrides")] = None,
    force: bool = False,
) -> State[Any]:
    """Grow a small model for each use case, and compare the recipes.

    Args:
        use_cases: Names of stanzas in params.yaml; all of them if empty.
        recipes: Recipes to compare with the dense baseline; all of them if empty.
        overrides: Parameters for this run only, such as {"training.epochs": 3}.
        force: Play every stage, whether or not it changed.
    """
    if os.environ.get("BONSAI_RUNNER") == str(os.getppid()):
        die_with_parent()
    root, show = settings.project_root(), SHOW.get(NullDisplay())
    for line in recovery.recover(root):
        show.message(line, "yellow")
    asked = run_request.build_request(root, use_cases or (), recipes or (), overrides)
    run = run_record.create(root, asked, how=door(), force=force)
    with to_the_end(run):
        create_workspace(root, run.folder, asked)
        flow_run_id = UUID(str(runtime.flow_run.id))
        flow_run = {"flow_run_id": str(flow_run_id), "name": runtime.flow_run.name}
        request = request_deduplication.request_hash(root, asked, force=force)
        run.note(state="Running", started_at=run_record.now(), prefect=flow_run, request=request)
        with (
            working_directory(run.folder),
            logged(run.folder / "flow.log"),
            StageStore(run.folder) as ledger,
            ProgressReporter() as relay,
        ):
            run.note(stages={name: {"state": "Pending", "needs": list(stage.needs)} for name, stage in ledger.stages.items()})
            show.begin(run.id, list(ledger.stages))
            CONCERT.set(concert := RunExecutor(root, run, ledger, show, force, admitted=admitted))
            RELAY.set(relay)
            state = conduct(concert)
        gone = not there_is_a_server()
        if not gone:
            run_artifacts.keep(run, flow_run_id)
    if asked.unmodified:
        with working_directory(root):
            names = [name for name, entry in run.record["stages"].items() if entry["state"] in GOOD]
            left = publish(root, ledger.entries(names))
            run.note(reflected=not left)
        for line in left:
            show.message(f"the project's own folder keeps what it had of {line}", "yellow")
    if gone:
        show.message("Prefect's server is gone; what it was not told is in the run's own record", "yellow")
        UNHEARD.get(lambda: None)()
    if state == "Completed":
        return Completed(message=f"run {run.id}")
    error = str(run.record["error"])
    return Cancelled(message=error) if state == "Cancelled" else Failed(message=error)


def door() -> str:
    """By which door the run was asked for."""
    name, tags = runtime.deployment.name, runtime.flow_run.tags or []
    if not name:
        return "command line"
    return f"{'schedule' if 'auto-scheduled' in tags else 'dashboard' if 'dashboard' in tags else 'deployment'} {name}"


def as_given(parameters: dict[str, Any]) -> dict[str, Any]:
    """The flow's parameters are plain values already; Prefect would load all of FastAPI to find that out (0.3 CPU-s)."""
    return dict(parameters)


pipeline.serialize_parameters = as_given  # type: ignore[method-assign]
JsonSchemaHint.enabled = True


def conduct(concert: RunExecutor) -> str:
    """Submit every stage as a task behind those it needs, and see them all to an end; gives the run's state.

    What Prefect could not start, as when its server is away, is played without it: the work does not need it.
    """
    futures: dict[str, PrefectFuture[Any]] = {}
    with heeding(concert.stop) as told:
        try:
            for name, stage in concert.ledger.stages.items():
                needs = [futures[need] for need in stage.needs if need in futures]
                futures[name] = as_task(stage).submit(name, return_state=False, wait_for=needs)
            wait(futures.values(), until=told)
            if told.is_set():
                concert.show.message("stopping: the stages at work have a few seconds to tidy up", "yellow")
                wait(futures.values())
            for name in concert.left():
                concert.perform(name)
        except BaseException as error:
            concert.stop.set()
            wait(futures.values())
            concert.finish(f"{type(error).__name__}: {' '.join(str(error).split())}")
            raise
    if told.is_set():
        concert.finish(cancelled=True)
        return "Cancelled"
    return concert.finish()


def there_is_a_server() -> bool:
    """Whether Prefect's server takes connections, or does again soon; one that Prefect started for itself is taken to."""
    url = PREFECT_API_URL.value()
    return not url or settings.accepts_connections(url, GONE_S)


def wait(futures: Iterable[PrefectFuture[Any]], until: Event | None = None) -> None:
    """See the tasks to an end, or stop waiting for them when `until` is set."""
    for future in futures:
        done = Event()
        future.add_done_callback(lambda _, done=done: done.set())  # type: ignore[misc]
        while not (until and until.is_set()) and not done.wait(LOOK_UP_S):
            pass


@contextmanager
def heeding(stop: Event) -> Iterator[Event]:
    """Set `stop`, and the flag this gives, when the process is told to end.

    The exception that Python or Prefect would raise is lost when it comes while a library tidies up, and the run goes on.
    """
    told = Event()

    def hear(*_: object) -> None:
        told.set()
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {sign: signal.signal(sign, hear) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def as_task(stage: Stage) -> Task[[str], State[Any]]:
    """The Prefect task of one stage, with the retries that dvc.yaml gives it; each retry waits twice as long."""
    return perform.with_options(
        name=stage.verb,
        task_run_name=stage.name.replace("{", "{{").replace("}", "}}"),
        description=stage.desc,
        retries=max(1, int(stage.meta.get("retries", 0))),
        retry_delay_seconds=exponential_backoff(float(stage.meta.get("retry_delay_s", 1))),
    )


def may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt could help: after a process was ended from outside, or as often as dvc.yaml says.

    Not after a person's mistake, nor when the run was stopped.
    """
    concert = CONCERT.get()
    if state.name == "Refused" or concert.stop.is_set():
        return False
    return state.name == "Lost" or task_run.run_count <= int(concert.ledger.stages[task_run.name].meta.get("retries", 0))


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=may_pass)
def perform(name: str) -> State[Any]:
    """Play one stage and say how it ended; what its journal tells goes on to Prefect."""
    concert, relay, log = CONCERT.get(), RELAY.get(), get_run_logger()
    context = TaskRunContext.get()
    assert context is not None
    task_run = context.task_run
    if task_run.run_count > 1:
        log.info("attempt %d", task_run.run_count)

    def heard(event: Mapping[str, Any]) -> None:
        if event["event"] == "progress" and task_run.flow_run_id:
            relay.progress(name, int(event["done"]), int(event["total"]), task_run.flow_run_id, task_run.id)
        elif event["event"] == "waits" and task_run.state_name != QUEUED:
            log.info("waits until the machine has room for it")
            show_state(task_run, Running(name=QUEUED))
        elif event["event"] == "started" and task_run.state_name == QUEUED:
            show_state(task_run, Running())
        elif text := format_event(event):
            log.log(logging.WARNING if event.get("level") == "warning" else logging.INFO, "%s", text)

    ending = concert.perform(name, heard)
    if ending.state == "Cancelled":
        return Cancelled(message=ending.text)
    if ending.state == "Failed":
        return Failed(name="Refused" if ending.mistake else "Lost" if ending.lost else "Failed", message=ending.text)
    return Completed(name=ending.state, message=ending.text)


def show_state(task_run: TaskRun, state: State[Any]) -> None:
    """Let Prefect show this state of a task at work."""
    state.state_details.task_run_id, state.state_details.flow_run_id = task_run.id, task_run.flow_run_id
    before, task_run.state = task_run.state, state
    task_run.state_id, task_run.state_type, task_run.state_name = state.id, state.type, state.name
    emit_task_run_state_change_event(task_run=task_run, initial_state=before, validated_state=state)


@contextmanager
def to_the_end(run: run_record.Run) -> Iterator[None]:
    """See that the run's record has a last word, whatever happens on the way."""
    try:
        yield
    except BaseException as error:
        if run.record["state"] not in run_record.FINAL:
            stopped = isinstance(error, KeyboardInterrupt | TerminationSignal)
            why = "was stopped by hand" if stopped else f"{type(error).__name__}: {' '.join(str(error).split())}"
            run.note(state="Cancelled" if stopped else "Failed", error=why, ended_at=run_record.now())
        raise


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write what Prefect and the libraries have to say to a file in the run's folder; the console is for the run itself."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
