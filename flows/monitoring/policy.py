"""What is watched, and what follows from it: `monitoring.yaml` of the project, one section per use case; all has a default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from tasks.core.errors import UserError

FILE = "monitoring.yaml"


class Policy(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How one use case is watched."""

    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    """Probability of any false alarm of drift, as long as a version answers."""
    slow_ms: Annotated[float, Field(gt=0)] = 1000.0
    """A request that takes longer is slow."""
    slow_share: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The largest share of slow requests."""
    failed_share: Annotated[float, Field(gt=0, lt=1)] = 0.005
    """The largest share of requests that fail by a fault of the server."""
    refused_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The largest share of requests, or inputs, that are refused."""
    webhook: str = ""
    """Address that gets each new alarm as JSON by POST."""
    blocks: tuple[str, ...] = ()
    """Notification blocks of Prefect that get each new alarm, such as sendgrid-email/operations or slack-webhook/operations."""
    retrain: Literal["never", "on_drift"] = "never"
    """Whether an alarm of drift starts a run on the data and the collected rows with labels."""
    min_labels: Annotated[int, Field(ge=0)] = 100
    """The fewest new labelled rows to retrain with."""
    shadow_alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """Probability of a wrong decision between champion and challenger."""
    promote: Literal["never", "when_better"] = "never"
    """Whether a challenger that is shown better becomes the champion; the champion before it then becomes the challenger, so
    that a change that proves wrong is rolled back by the same rule."""


def read_policy(root: Path, use_case: str) -> Policy:
    """The policy of a use case; raises a `UserError` that names what cannot be read in the file."""
    path = root / FILE
    if not path.exists():
        return Policy()
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:120]}") from None
    section = content.get(use_case, {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise UserError(f"{path}: expected a section of settings for each use case, such as {{{use_case}: {{alpha: 0.01}}}}")
    try:
        return Policy.model_validate(section)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        names = ", ".join(Policy.model_fields)
        raise UserError(f"{path}: {use_case}.{name}: {first['msg']}; there is: {names}") from None
