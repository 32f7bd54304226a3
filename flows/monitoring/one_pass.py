"""One look at the request log: what is new since the last look goes into the tests, and a report says what they show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.monitoring import alarms, references, shadow
from flows.monitoring.policy import Policy, read_policy
from flows.request_log import reader
from flows.request_log.records import use_case_folder
from flows.system.file_locks import hold_lock
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_json, write_json
from tasks.monitoring.cells import Cells
from tasks.monitoring.drift import DriftTest, LimitTest
from tasks.monitoring.paired import confidence_sequence
from tasks.monitoring.reference import Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

STATE, REPORT = "state.json", "report.json"
COLUMNS = (
    "request_id",
    "position",
    "at",
    "model",
    "status",
    "error",
    "latency_ms",
    "predicted",
    "value",
    "confidence",
    "abstains",
    "numbers",
    "categories",
)
RECENT_ROWS = 500
"""The last rows that the report describes beside the reference."""
LIMITS = ("slow", "failed", "refused")
LABEL_ALPHA = 0.05


@dataclass(slots=True)
class Watched:
    """What is remembered of a version between two looks."""

    model: str
    reference: Reference | None
    why_no_reference: str
    drift: DriftTest
    limits: LimitTest
    last: str = ""
    """The time of the last row that was taken into account, ISO 8601."""
    rows: int = 0
    requests: int = 0
    without_statistics: int = 0


def look(root: Path, use_case: str) -> dict[str, Any]:
    """Take new rows of the log into account, keep the state, and return the report; new alarms are recorded.

    One process looks at a time. Without a reference, as for a use case without a model, only limits are tested, and the report
    says why. Raises a `UserError` for a file that cannot be read.
    """
    with hold_lock(root / ".bonsai" / "locks" / f"monitor-{use_case}"):
        policy = read_policy(root, use_case)
        name = references.champion_name(root, use_case)
        watched = _restore(root, use_case, name, policy)
        since = datetime.fromisoformat(watched.last) if watched.last else None
        fresh = reader.read_requests(root, use_case, since=since, columns=COLUMNS)
        own = fresh[fresh["model"].isin([name, ""])]
        _update(watched, own, policy)
        raised = [*_drift_alarms(watched, policy), *_limit_alarms(watched, policy)]
        comparison = shadow.compare(root, use_case, policy)
        new = alarms.record(root, use_case, name, raised)
        report = _report(root, use_case, watched, policy, comparison)
        report["new_alarms"] = new
        write_json(use_case_folder(root, use_case) / STATE, _as_json(watched))
        write_json(use_case_folder(root, use_case) / REPORT, report)
        return report


def read_report(root: Path, use_case: str) -> dict[str, Any] | None:
    """The report of the last look; None if there was none."""
    try:
        content = json.loads((use_case_folder(root, use_case) / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _limits(policy: Policy) -> dict[str, float]:
    return dict(zip(LIMITS, (policy.slow_share, policy.failed_share, policy.refused_share), strict=True))


def _restore(root: Path, use_case: str, name: str, policy: Policy) -> Watched:
    """The state of this version; a new one where another version, reference or limit was watched before."""
    why = ""
    try:
        reference: Reference | None = references.ensure_reference(root, use_case, name)
    except UserError as error:
        reference, why = None, str(error)
    cells = reference.cells if reference else {}
    fresh = Watched(name, reference, why, DriftTest.start(cells), LimitTest.start(_limits(policy)))
    try:
        state = json.loads((use_case_folder(root, use_case) / STATE).read_text(encoding="utf-8"))
        if state["model"] != name or state["reference"] != _identity(reference) or state["limits"]["limits"] != _limits(policy):
            return fresh
        fresh.drift, fresh.limits = DriftTest.from_json(state["drift"], cells), LimitTest.from_json(state["limits"])
        for field in ("last", "rows", "requests", "without_statistics"):
            setattr(fresh, field, state[field])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{use_case_folder(root, use_case) / STATE} cannot be read; delete it, then the log is tested from its beginning"
        ) from None
    return fresh


def _identity(reference: Reference | None) -> str:
    return hash_json({name: cells.as_json() for name, cells in reference.cells.items()}) if reference else ""


def _as_json(watched: Watched) -> dict[str, Any]:
    return {
        "model": watched.model,
        "reference": _identity(watched.reference),
        "last": watched.last,
        "rows": watched.rows,
        "requests": watched.requests,
        "without_statistics": watched.without_statistics,
        "drift": watched.drift.as_json(),
        "limits": watched.limits.as_json(),
    }


def _update(watched: Watched, rows: DataFrame, policy: Policy) -> None:
    if rows.empty:
        return
    requests = rows.groupby("request_id", sort=False).agg(
        {"latency_ms": "first", "status": "first", "error": lambda errors: float((errors != "").mean())}
    )
    failed = requests["status"].to_numpy() >= 500
    values = [
        requests["latency_ms"].to_numpy() > policy.slow_ms,
        failed,
        np.where(failed, 0.0, requests["error"].to_numpy(float)),
    ]
    watched.limits.update(np.stack(values, 1).astype(np.float64))
    answered = rows[(rows["error"] == "") & (rows["model"] == watched.model)]
    if watched.reference:
        statistics = drift_columns(answered)
        complete = statistics.reindex(columns=list(watched.reference.cells)).pipe(_has_statistics, watched.reference.cells)
        watched.without_statistics += int((~complete).sum())
        watched.drift.update(statistics[complete])
    watched.rows += len(answered)
    watched.requests += len(requests)
    watched.last = rows["at"].max().isoformat()


def drift_columns(rows: DataFrame) -> DataFrame:
    """The statistics of answered rows of the log, a column each, as the reference has them."""
    import pandas as pd

    answers = rows[["predicted", "value", "confidence", "abstains"]].reset_index(drop=True)
    return pd.concat([reader.statistics_columns(rows).reset_index(drop=True), answers], axis=1)


def _has_statistics(table: DataFrame, cells: Any) -> NDArray[np.bool_]:
    """Which rows have every statistic that reference rows have without exception: others were logged without, such as files."""
    always = [name for name, each in cells.items() if each.counts[-1] == 0]
    return np.asarray(table[always].notna().all(axis=1), np.bool_)


def _drift_alarms(watched: Watched, policy: Policy) -> list[alarms.Alarm]:
    threshold = watched.drift.threshold(policy.alpha)
    return [
        alarms.Alarm(
            "drift", name, float(evidence / np.log(10)), f"the distribution of {name!r} is no longer that of the reference"
        )
        for name, evidence in zip(watched.drift.names, watched.drift.highest, strict=True)
        if evidence >= threshold
    ]


def _limit_alarms(watched: Watched, policy: Policy) -> list[alarms.Alarm]:
    threshold = np.log(len(LIMITS) / policy.alpha)
    words = {
        "slow": f"more than {policy.slow_share:.1%} of the requests take longer than {policy.slow_ms:g} ms",
        "failed": f"more than {policy.failed_share:.1%} of the requests fail",
        "refused": f"more than {policy.refused_share:.1%} of the requests are refused",
    }
    return [
        alarms.Alarm("limit", name, float(evidence / np.log(10)), words[name])
        for name, evidence in zip(LIMITS, watched.limits.highest, strict=True)
        if evidence >= threshold
    ]


def _report(root: Path, use_case: str, watched: Watched, policy: Policy, comparison: dict[str, Any] | None) -> dict[str, Any]:
    recent = reader.read_requests(root, use_case, columns=COLUMNS, limit=20 * RECENT_ROWS)
    recent = recent[recent["model"].isin([watched.model, ""])].tail(RECENT_ROWS)
    answered = recent[(recent["error"] == "") & (recent["model"] == watched.model)]
    statistics = drift_columns(answered)
    requests = recent.drop_duplicates("request_id")
    threshold = watched.drift.threshold(policy.alpha) / np.log(10)
    evidence = dict(zip(watched.drift.names, (watched.drift.highest / np.log(10)).tolist(), strict=True))
    cells = watched.reference.cells if watched.reference else {}
    return {
        "use_case": use_case,
        "model": watched.model,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "requests": watched.requests,
        "rows": watched.rows,
        "rows_without_statistics": watched.without_statistics,
        "last": watched.last,
        "reference": {"rows": watched.reference.rows} if watched.reference else {"rows": 0, "missing": watched.why_no_reference},
        "recent": {
            "rows": len(answered),
            "requests": len(requests),
            "latency_ms": _quantiles(requests["latency_ms"].to_numpy(float)),
            "errors": {
                str(code): int(count) for code, count in recent.loc[recent["error"] != "", "error"].value_counts().items()
            },
        },
        "threshold": float(threshold),
        "statistics": [
            {
                "name": name,
                "evidence": evidence[name],
                "alarm": bool(evidence[name] >= threshold),
                "kind": "number" if each.is_number else "category",
                "edges": each.edges.tolist(),
                "values": list(each.values),
                "reference": _shares(each.counts),
                "recent": _shares(_count(each, statistics, name)),
            }
            for name, each in sorted(cells.items(), key=lambda item: -evidence[item[0]])
        ],
        "limits": [
            {
                "name": name,
                "limit": limit,
                "mean": float(total / watched.limits.wealth.seen) if watched.limits.wealth.seen else None,
                "evidence": float(highest / np.log(10)),
                "alarm": bool(highest >= np.log(len(LIMITS) / policy.alpha)),
            }
            for (name, limit), total, highest in zip(
                watched.limits.limits.items(), watched.limits.sums, watched.limits.highest, strict=True
            )
        ],
        "feedback": labelled_accuracy(root, use_case, watched.model),
        "shadow": comparison,
        "alarms": alarms.open_alarms(root, use_case, watched.model),
    }


def labelled_accuracy(root: Path, use_case: str, model: str) -> dict[str, Any]:
    """The share of right answers among rows with a right answer sent afterwards; `low` and `high` hold at all times with 95 %."""
    rows = reader.read_labelled(root, use_case, columns=("model", "predicted"))
    rows = rows[(rows["model"] == model) & rows["predicted"].notna()].sort_values("labelled_at", kind="stable")
    if rows.empty:
        return {"rows": 0, "accuracy": None, "low": None, "high": None}
    right = (rows["predicted"] == rows["label"]).to_numpy(np.float64)
    low, high = ((bound + 1) / 2 for bound in confidence_sequence(2 * right - 1, LABEL_ALPHA))
    return {"rows": len(rows), "accuracy": float(right.mean()), "low": low, "high": high}


def _count(cells: Cells, statistics: DataFrame, name: str) -> NDArray[np.int64]:
    if name not in statistics:
        return np.zeros(len(cells.counts), np.int64)
    return np.bincount(cells.of(statistics[name].to_numpy()), minlength=len(cells.counts)).astype(np.int64)


def _shares(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(count / max(int(counts.sum()), 1)), 6) for count in counts]


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"p{share}": round(float(np.quantile(values, share / 100)), 3) for share in (50, 95, 99)}
