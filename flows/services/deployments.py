"""The project's deployments: those of prefect.yaml, two for each use case of params.yaml that it does not name, and `monitor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.core import params_file
from tasks.core.storage.atomic_files import hash_json

NIGHTLY = "-nightly"
PIPELINE, MONITOR = "pipeline", "monitor"
"""The flows that are deployed."""
MONITOR_CRON = "*/10 * * * *"
FIRST_HOUR = 3
"""Hour (UTC) at which the first nightly deployment starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """A deployment as prefect.yaml or params.yaml define it. Changes made in Prefect since then are on the server only."""

    name: str
    flow: str = PIPELINE
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    schedules: tuple[dict[str, Any], ...] = ()

    @property
    def version(self) -> str:
        """Hash of the definition; it changes whenever a field does."""
        return hash_json(asdict(self))[:12]


def deployment_specs(root: Path) -> list[DeploymentSpec]:
    """All deployments, those of prefect.yaml first. Deployments of use cases that params.yaml does not list are left out."""
    params = params_file.read_params(root / "params.yaml")
    configured = [
        spec
        for spec in _read_specs(root / "prefect.yaml")
        if set(spec.parameters.get("use_cases") or ()) <= set(params.use_cases)
    ]
    names = {spec.name for spec in configured}
    return configured + [spec for spec in _default_specs(params) if spec.name not in names]


def _read_specs(path: Path) -> Iterator[DeploymentSpec]:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    for entry in (content or {}).get("deployments") or ():
        yield DeploymentSpec(
            name=str(entry["name"]),
            flow=str(entry.get("entrypoint") or PIPELINE).rpartition(":")[2],
            description=str(entry.get("description") or ""),
            parameters=dict(entry.get("parameters") or {}),
            tags=tuple(entry.get("tags") or ()),
            schedules=tuple(entry.get("schedules") or ()),
        )


def _default_specs(params: params_file.Params) -> Iterator[DeploymentSpec]:
    """One deployment of all use cases; for each use case one on demand and one nightly, ten minutes after the one before."""
    yield DeploymentSpec(name="all", description="All use cases in one run.")
    yield DeploymentSpec(
        name=MONITOR,
        flow=MONITOR,
        description="Looks for drift, slow and failed requests in the request log of the server.",
        tags=(MONITOR,),
        schedules=({"cron": MONITOR_CRON, "timezone": "UTC", "active": True},),
    )
    for position, name in enumerate(params.use_cases):
        parameters: dict[str, Any] = {"use_cases": [name]}
        hour, minute = divmod(10 * position, 60)
        schedule = {"cron": f"{minute} {(FIRST_HOUR + hour) % 24} * * *", "timezone": "UTC", "active": True}
        yield DeploymentSpec(
            name=name, description=f"Runs the pipeline of {name} on demand.", parameters=parameters, tags=(name,)
        )
        yield DeploymentSpec(
            name=name + NIGHTLY,
            description=f"Runs the pipeline of {name} every night; unchanged stages are skipped.",
            parameters=parameters,
            tags=(name, "nightly"),
            schedules=(schedule,),
        )
