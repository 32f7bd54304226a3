"""What a run's record, run.json, may hold: the types of its fields, with defaults for what older records lack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}(@[A-Za-z0-9_.-]{1,120})?")
"""Names of stages, such as `compress@vision-int8`; they cannot leave a folder."""
MD5 = re.compile(r"([0-9a-f]{32}(\.dir)?)?")
"""DVC's hash of an output; empty where there is none."""


def _null_as(default: Any) -> BeforeValidator:
    """Read null as the default."""
    return BeforeValidator(lambda value: default if value is None else value)


def _moment(text: str) -> str:
    """The text, if it is empty or a time with a time zone."""
    if text and datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a time zone")
    return text


def _safe_stages(stages: dict[str, Any]) -> dict[str, Any]:
    for name in stages:
        if not STAGE_NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{name!r:.80} is no name of a stage")
    return stages


def _safe_outputs(outs: dict[str, Any]) -> dict[str, Any]:
    for path, out in outs.items():
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r:.80} is no path of an output")
        if not isinstance(out, dict) or not MD5.fullmatch(str(out.get("md5", ""))):
            raise ValueError(f"{path!r:.80} has no hash of an output")
    return outs


def _process(process: dict[str, Any] | None) -> dict[str, Any] | None:
    if process is not None and (type(process.get("pid")) is not int or not 0 < process["pid"] < 2**31):
        raise ValueError("no number of a process")
    return process


Text = Annotated[str, _null_as("")]
Moment = Annotated[str, _null_as(""), AfterValidator(_moment)]
Object = Annotated[dict[str, Any], _null_as({})]
Process = Annotated[dict[str, Any] | None, AfterValidator(_process)]
Key = Annotated[str, _null_as(""), StringConstraints(pattern=r"^[0-9a-f]{0,64}$")]


class _RecordModel(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class StageEntry(_RecordModel):
    """A stage in run.json."""

    state: Text = "Pending"
    needs: Annotated[list[str], _null_as([])] = []
    key: Key = ""
    started_at: Moment = ""
    ended_at: Moment = ""
    attempt: Annotated[int, _null_as(0)] = 0
    reasons: Annotated[list[Any], _null_as([])] = []
    error: Text = ""
    details: Text = ""
    outs: Annotated[Object, AfterValidator(_safe_outputs)] = {}
    process: Process = None
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None


class Record(_RecordModel):
    """run.json, with defaults for what older records lack."""

    state: Text = ""
    error: Text = ""
    use_cases: Annotated[list[str], _null_as([])] = []
    recipes: Annotated[list[str], _null_as([])] = []
    overrides: Object = {}
    whole: bool = False
    force: bool = False
    params_hash: Text = ""
    request: Text = ""
    asked: Object = {}
    created_at: Moment = ""
    started_at: Moment = ""
    ended_at: Moment = ""
    process: Process = None
    prefect: Object = {}
    code: Object = {}
    machine: Object = {}
    stages: Annotated[dict[str, StageEntry], _null_as({}), AfterValidator(_safe_stages)] = {}
    results: Object = {}
    reflected: bool = False


DEFAULTS: Mapping[str, Any] = Record().model_dump()


def validate(content: Mapping[str, Any]) -> Record:
    """The record with this content; raises a `ValueError` that names the first field that is wrong."""
    try:
        return Record.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def complete(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with the default of every field that it lacks or that is null; the order of its own fields is kept."""
    present = {name: value for name, value in content.items() if value is not None or name not in DEFAULTS}
    missing = {name: _copy(value) for name, value in DEFAULTS.items() if name not in present}
    return {**present, **missing}


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list) else value
