"""Differences between runs: parameters, test results, environment, training curves and metrics per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from dashboard.readers import project_files
from dashboard.readers.artifact_models import parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import event_logs, run_records, run_status, verdicts
from dashboard.readers.runs.run_records import Run, StageEntry
from tasks.core.compression import DENSE

MAX_RUNS = 20
MAX_PARAMS_BYTES = 1_000_000


def parameters(run: Run, use_case: str) -> dict[str, Any]:
    """Parameters of the use case and of the recipes in the run's own params.yaml, by dotted name."""
    path = project_files.inside(run.root, run.folder / "params.yaml")
    try:
        text = path.read_text(encoding="utf-8")[:MAX_PARAMS_BYTES]
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise Unreadable("unreadable.damaged", file=path.name)
        params = yaml.safe_load(text)
    except OSError:
        raise Unreadable("unreadable.missing", file=path.name) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Unreadable("unreadable.damaged", file=path.name) from None
    if not isinstance(params, dict):
        raise Unreadable("unreadable.damaged", file=path.name)
    stanza = params.get("use_cases") or {}
    own = stanza.get(use_case) if isinstance(stanza, dict) else None
    return {**flatten(own or {}), **flatten({"recipes": params.get("recipes") or {}})}


def environment(run: Run, use_case: str) -> dict[str, Any]:
    """Code, data, machine and duration: other reasons for a difference."""
    record = run.record
    data = {run_records.stage_parts(name)[0]: _hash(entry) for name, entry in run.stages(use_case).items()}
    return {
        "code": str(record.code.get("commit", ""))[:8] + ("*" if record.code.get("dirty") else ""),
        "data": data.get("clean", ""),
        "model": data.get("train", ""),
        "processor": str(record.machine.get("processor", "")),
        "seconds": run.wall_s,
    }


def test_results(run: Run, use_case: str) -> dict[str, Any]:
    """The run's verdict and what it released, and its test results by recipe; a failed run has a verdict alone."""
    verdict = verdicts.of_run(run, use_case)
    results: dict[str, Any] = {"verdict": verdict.word or None, "released": verdict.released}
    try:
        table = Artifacts(run.root, run.folder, use_case).table()
    except Unreadable:
        if verdict.word == "error":
            return results
        raise
    for row in table.rows:
        results[f"{row.recipe}: {row.metric}"] = row.value
        results[f"{row.recipe}: ms"] = row.latency_ms.get("1", {}).get("median_ms")
        results[f"{row.recipe}: bytes"] = row.bytes
    return results


def side_by_side(columns: Mapping[str, Mapping[str, Any]], *, only_differing: bool) -> pd.DataFrame:
    """A row per name and a column per run; with `only_differing`, only the rows in which the runs differ."""
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    lines = []
    for name in names:
        values = [values_by_name.get(name) for values_by_name in columns.values()]
        if not only_differing or any(repr(value) != repr(values[0]) for value in values[1:]):
            lines.append({"name": name, **dict(zip(columns, values, strict=True))})
    return pd.DataFrame(lines, columns=["name", *columns])


def grouped(frame: pd.DataFrame, parameter: str, measure: str) -> pd.DataFrame:
    """The measure by value of the parameter: group, runs, mean, spread, least, most.

    `spread` is the standard deviation over the runs of a group with n - 1 in the denominator; missing for one run.
    """
    rows_with_value = frame.dropna(subset=[measure])
    keys = rows_with_value[parameter].map(_group_name)
    rows = [
        {
            "group": key,
            "runs": len(values),
            "mean": float(values.mean()),
            "spread": float(values.std(ddof=1)) if len(values) > 1 else None,
            "least": float(values.min()),
            "most": float(values.max()),
        }
        for key, values in rows_with_value[measure].astype(float).groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows, columns=["group", "runs", "mean", "spread", "least", "most"])


def _group_name(value: object) -> str:
    if value is None or value != value:  # NaN stands for a run without the parameter
        return "–"
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def curves(chosen: Sequence[Run], use_case: str) -> pd.DataFrame:
    """The training curves of each run: run, name, step, value."""
    rows = [
        (run.id, name, step, value)
        for run in chosen
        for name, points in event_logs.read(run.root, run.folder, f"train@{use_case}").curves.items()
        for step, value in points
    ]
    kept = {run_id for run_id, *_ in rows}
    for run in chosen:  # a restored stage has no event log; its curves are in the model artifact
        if run.id not in kept:
            rows += [(run.id, name, step, value) for name, step, value in run_status.stored_curves(run, use_case)]
    return pd.DataFrame(rows, columns=["run", "name", "step", "value"])


def by_class(chosen: Sequence[Run], use_case: str, recipe: str, split: str = "test") -> pd.DataFrame:
    """F1 per class and run: run, class, f1, support."""
    rows = []
    for run in chosen:
        artifacts = Artifacts(run.root, run.folder, use_case)
        try:
            name = recipe or artifacts.verdict().released or DENSE
            report = artifacts.metrics(name).splits[split].report
            classes = parse_as(report.get("per_class") or [], list[dict[str, Any]], "metrics.json")
        except (Unreadable, KeyError):
            continue
        rows += [(run.id, str(each.get("class")), each.get("f1"), each.get("support")) for each in classes]
    return pd.DataFrame(rows, columns=["run", "class", "f1", "support"])


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as dotted names."""
    if isinstance(value, Mapping) and value:
        return {
            key: leaf
            for name, inner in value.items()
            for key, leaf in flatten(inner, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        return {key: leaf for at, inner in enumerate(value) for key, leaf in flatten(inner, f"{prefix}.{at}").items()}
    return {} if isinstance(value, Mapping) else {prefix: value}


def _hash(entry: StageEntry) -> str:
    """First ten digits of the first output's hash."""
    first = next(iter(entry.outs.values()), None)
    return str(first.get("md5", ""))[:10] if isinstance(first, dict) else ""
