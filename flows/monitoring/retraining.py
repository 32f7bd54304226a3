"""Train again with what was collected: labelled inputs of the log join the rows of the champion's run, and a run begins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import promotion
from flows.monitoring import references
from flows.registry import history
from flows.request_log import reader
from flows.request_log.records import use_case_folder
from flows.runs import run_record, search
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact, Table
from tasks.core.storage.atomic_files import write_json
from tasks.inference.checked_rows import needs_other_rows
from tasks.inference.released_model import ReleasedModel, load_release

if TYPE_CHECKING:
    from pandas import DataFrame

COLLECTED, STATE = "collected", "retraining.json"
KEPT_FOLDERS = 3


def read_state(root: Path, use_case: str) -> dict[str, Any]:
    """The last run that was started: model, data, labels, request, at, and outcome once it ended; empty if there was none."""
    try:
        content = json.loads((use_case_folder(root, use_case) / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def retrain(root: Path, use_case: str, model: str, min_labels: int, start: Callable[[str, dict[str, Any]], str]) -> list[str]:
    """Start a run on the rows of the version and the collected ones, once for each version; returns what was done."""
    state = read_state(root, use_case)
    if state.get("model") == model:
        return []
    released = load_release(references.release_folder(root, use_case, model), project=root)
    if needs_other_rows(released.case):
        overrides, count = {}, 0
    else:
        path, count = collect(root, use_case, model, released, min_labels)
        overrides = {"fetch.path": str(path), **({} if released.kind == "picture" else {"fetch.label": "label"})}
        if released.kind == "text":
            overrides["fetch.text"] = "text"
    request = start(use_case, overrides)
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    entry = {"model": model, "data": overrides.get("fetch.path", ""), "labels": count, "request": request, "at": at}
    write_json(use_case_folder(root, use_case) / STATE, entry)
    return [f"{use_case}: {model} drifted; started run {request} with {count:,} new labelled rows"]


def adopt_finished(root: Path, use_case: str) -> list[str]:
    """Let the release of a run that `retrain` started become the challenger, once it has ended; returns what was done."""
    state = read_state(root, use_case)
    if not state or state.get("outcome"):
        return []
    run = next((run for run in search.filter_runs(root, search.RunFilter(use_case)) if _is_of(run, state)), None)
    if run is None or run.record["state"] not in run_record.FINAL_STATES:
        return []
    line, outcome = f"{use_case}: the run {run.id} ended as {run.record['state']}", str(run.record["state"])
    if outcome == "Completed":
        try:
            change = promotion.promote(root, use_case, run.id, alias=history.CHALLENGER)
            outcome = change.version.name
            line = f"{use_case}: {outcome}, trained with {state['labels']:,} new labelled rows, is the challenger"
        except UserError as error:
            outcome, line = "not released", f"{use_case}: the run {run.id} gives no challenger: {error}"
    write_json(use_case_folder(root, use_case) / STATE, {**state, "run": run.id, "outcome": outcome})
    return [line]


def _is_of(run: run_record.Run, state: dict[str, Any]) -> bool:
    """Whether a run is the one that was requested: by its request, or by its data, which no other run has."""
    flow_run = str(run.record.get("prefect", {}).get("flow_run_id", ""))
    data = [str(value) for name, value in run.record["overrides"].items() if name.endswith("fetch.path")]
    return flow_run == state["request"] or (bool(state["data"]) and state["data"] in data)


def collect(root: Path, use_case: str, model: str, released: ReleasedModel, min_labels: int) -> tuple[Path, int]:
    """Write the raw rows of a version's run and all labelled inputs to a new file; returns it and the number of the latter.

    Where the source names splits, new rows are train rows. Raises a `UserError` if there are fewer than `min_labels` of them,
    or the rows of the run are no longer here.
    """
    new = labelled_inputs(root, use_case, released)
    if len(new) < min_labels:
        raise UserError(
            f"{len(new):,} labelled inputs of {use_case} were collected, {min_labels:,} are needed (min_labels); "
            "`bonsai serve --log inputs` keeps them, POST /feedback labels them"
        )
    folder = references.rows_folder(root, use_case, model)
    if folder is None:
        raise UserError(f"the rows of {model} are no longer here; `bonsai restore` of its run brings them back")
    rows = _raw_rows(folder / "data" / use_case / "raw", released, list(new.columns))
    place = use_case_folder(root, use_case) / COLLECTED
    target = place / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    target.mkdir(parents=True, exist_ok=True)
    import pandas as pd

    if "split" in rows:
        new = new.assign(split="train")
    whole = pd.concat([rows, new[list(rows.columns)]], ignore_index=True)
    if released.kind == "picture":
        path = target / "rows.parquet"
        whole.to_parquet(path, index=False)
    else:
        path = target / "rows.csv"
        whole.to_csv(path, index=False)
    for old in sorted(place.iterdir())[:-KEPT_FOLDERS]:
        shutil.rmtree(old)
    return path, len(new)


def labelled_inputs(root: Path, use_case: str, released: ReleasedModel) -> DataFrame:
    """Inputs of the log with the right answers: `image` or `text`, or the columns of the records, and `label`."""
    import pandas as pd

    rows = reader.read_labelled(root, use_case, columns=("input", "error"))
    rows = rows[rows["input"].notna() & (rows["error"] == "")]
    inputs = list(rows["input"])
    if released.kind == "picture":
        table = pd.DataFrame({"image": inputs})
    elif released.kind == "text":
        table = pd.DataFrame({"text": [content.decode() for content in inputs]})
    else:
        state = released.model.state
        names = list(dict.fromkeys([*state.get("numbers", ()), *state.get("categories", ())]))
        table = pd.DataFrame([json.loads(content) for content in inputs]).reindex(columns=names)
    return table.assign(label=rows["label"].tolist())


def _raw_rows(raw: Path, released: ReleasedModel, columns: list[str]) -> DataFrame:
    """The raw rows of a run with these columns, and `split` where their source names one."""
    rows = Table(Artifact(raw).open()).read()
    if missing := [name for name in columns if name not in rows]:
        raise UserError(f"the raw rows in {raw} have no column {missing[0]!r}, so new ones cannot join them")
    has_splits = "subset" in rows and (rows["subset"] != "").any()
    return rows[columns].assign(split=rows["subset"]) if has_splits else rows[columns]
