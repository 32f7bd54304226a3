"""The Prefect flow that watches: one look at the request log of each use case, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows import settings

settings.apply(settings.project_root())

from prefect import flow, get_run_logger  # noqa: E402

from tasks.core.errors import UserError  # noqa: E402


@flow(name="monitor", retries=0, timeout_seconds=3600)
def monitor(use_cases: list[str] | None = None) -> dict[str, int]:
    """Look at the use cases, by default all with a request log; returns the number of open alarms of each.

    Alarms are warnings in the flow run's log. A use case that cannot be looked at is an error in it and fails the run at the
    end, after the others.
    """
    root, log = settings.project_root(), get_run_logger()
    counts, failed = dict[str, int](), list[str]()
    names = use_cases or with_logs(root)
    if not names:
        log.info("no requests were recorded yet; `bonsai serve` records them")
        return counts
    from flows.monitoring import one_pass  # loads NumPy, pandas and ONNX Runtime, which nothing needs without requests
    from flows.monitoring.follow_up import follow_up

    for name in names:
        try:
            report = one_pass.look(root, name)
        except UserError as error:
            log.error("%s: %s", name, error)
            failed.append(name)
            continue
        for alarm in report["new_alarms"]:
            log.warning("%s: %s", alarm["model"], alarm["message"])
        for line in follow_up(root, name, report, start_run):
            log.warning("%s", line)
        counts[name] = len(report["alarms"])
        log.info("%s: %d requests, %d open alarms", report["model"], report["requests"], counts[name])
    if failed:
        raise UserError(f"{', '.join(failed)} could not be looked at; the log says why")
    return counts


def with_logs(root: Path) -> list[str]:
    """The use cases with a request log, sorted."""
    from flows.request_log.records import FOLDER, REQUESTS

    return sorted(path.parent.name for path in (root / FOLDER).glob(f"*/{REQUESTS}"))


def start_run(use_case: str, overrides: dict[str, Any]) -> str:
    """Request a run of the deployment of a use case on the Prefect server; returns its flow run's id."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"pipeline/{use_case}")
        parameters = {**deployment.parameters, "overrides": overrides}
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters, tags=["monitoring"])
        return str(flow_run.id)
