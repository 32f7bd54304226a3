"""What can be asked for by name: the deployments of prefect.yaml, and a pair for every use case that it does not name yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.core import params_file
from tasks.core.atomic_files import hash_json

NIGHTLY = "-nightly"
FIRST_HOUR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """A deployment as it is written down; what a person changed since is the server's to know."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    schedules: tuple[dict[str, Any], ...] = ()

    @property
    def version(self) -> str:
        """Changes whenever what is written down does."""
        return hash_json(asdict(self))[:12]


def deployment_specs(root: Path) -> list[DeploymentSpec]:
    """All deployments of the project, those of prefect.yaml first; without those of use cases that params.yaml does not have."""
    params = params_file.read_params(root / "params.yaml")
    written = [
        each for each in _written(root / "prefect.yaml") if set(each.parameters.get("use_cases") or ()) <= set(params.use_cases)
    ]
    known = {each.name for each in written}
    return written + [each for each in _by_use_case(params) if each.name not in known]


def _written(path: Path) -> Iterator[DeploymentSpec]:
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    for entry in (found or {}).get("deployments") or ():
        yield DeploymentSpec(
            name=str(entry["name"]),
            description=str(entry.get("description") or ""),
            parameters=dict(entry.get("parameters") or {}),
            tags=tuple(entry.get("tags") or ()),
            schedules=tuple(entry.get("schedules") or ()),
        )


def _by_use_case(params: params_file.Params) -> Iterator[DeploymentSpec]:
    """All use cases at once; and each by itself, when asked for and every night, ten minutes after the one before it."""
    yield DeploymentSpec(name="all", description="Every use case, side by side.")
    for position, name in enumerate(params.use_cases):
        asked: dict[str, Any] = {"use_cases": [name]}
        hour, minute = divmod(10 * position, 60)
        night = {"cron": f"{minute} {(FIRST_HOUR + hour) % 24} * * *", "timezone": "UTC", "active": True}
        yield DeploymentSpec(name=name, description=f"Grow {name} when asked.", parameters=asked, tags=(name,))
        yield DeploymentSpec(
            name=name + NIGHTLY,
            description=f"Grow {name} every night; what is unchanged is not computed again.",
            parameters=asked,
            tags=(name, "nightly"),
            schedules=(night,),
        )
