"""One trial of a recipe on a trained dense model: its drop on validation rows, its time beside dense, and its bytes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import params_file
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from tasks.core.use_case import Array

ROUNDS, BLOCK_S = 9, 0.02
"""Rounds in which dense and the file are timed in turn, and about how long each of them is in a round."""
SCALED = ("distill", "prune", "qat", "finetune")
"""Steps with an effort."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a recipe gave."""

    drop: float = 0.0
    """The drop of the first metric against dense on the same validation rows, with its 95 % interval; negative is a gain."""
    drop_low: float = 0.0
    drop_high: float = 0.0
    bytes: int = 0
    size_share: float = 0.0
    """Bytes as a share of dense's."""
    ms: float = 0.0
    """Milliseconds at batch 1."""
    speedup: float = 0.0
    """How many times as fast as dense, with its 95 % interval over rounds."""
    speedup_low: float = 0.0
    speedup_high: float = 0.0
    error: str = ""


def run(folder: str, use_case: str, recipe: list[dict[str, Any]], effort: float, result_path: str) -> TrialResult:
    """Apply the recipe with a share `effort` of its epochs in a workspace with a dense model; called in a worker process.

    The result is saved, and read where it was saved before. No test row is read.
    """
    path = Path(result_path)
    if path.exists():
        return TrialResult(**json.loads(path.read_text(encoding="utf-8"))["result"])
    from tasks.core.storage.atomic_files import write_json

    try:
        result = _measure(Path(folder), use_case, recipe, effort, path.stem)
    except UserError as error:
        result = TrialResult(error=str(error))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"recipe": recipe, "effort": effort, "result": asdict(result)})
    return result


def scaled(recipe: list[dict[str, Any]], effort: float) -> list[dict[str, Any]]:
    """The recipe with a share of the epochs of its steps."""
    return [
        {kind: {**knobs, **_scaled_epochs(knobs, effort)} if kind in SCALED else knobs}
        for step in recipe
        for kind, knobs in step.items()
    ]


def _scaled_epochs(knobs: dict[str, Any], effort: float) -> dict[str, Any]:
    scaled_knobs = {"effort": knobs["effort"] * effort} if "effort" in knobs else {}
    return {**scaled_knobs, **({"passes": max(1, round(knobs["passes"] * effort))} if "passes" in knobs else {})}


def _measure(folder: Path, use_case: str, recipe: list[dict[str, Any]], effort: float, name: str) -> TrialResult:
    import torch

    from tasks.core import onnx_model
    from tasks.core.stage_context import StageContext
    from tasks.core.storage.artifacts import Checkpoint, Table, read_split
    from tasks.core.storage.event_log import EventLog
    from tasks.evaluation import statistics
    from tasks.stages import compress

    params = params_file.read_params(folder / "params.yaml")
    params = params_file.Params(params.use_cases, {**params.recipes, name: scaled(recipe, effort)}, params.seeds)
    case = params_file.build_use_case(use_case, params)
    torch.set_num_threads(case.training.threads)
    log = EventLog(folder / "journal" / f"recipe-{name}-{os.getpid()}.jsonl")
    steps = params_file.build_recipe(name, params)
    context = StageContext(name=use_case, case=case, event_log=log, recipe_name=name, recipe=steps, root=folder)
    try:
        network, state = Checkpoint(context.model.open(), case.name).read()
        compression = compress.build_context(context, state)
        _, dense, _ = compress.apply_recipe(network, (), compression, use_case)
        _, model, _ = compress.apply_recipe(network, steps, compression, use_case)
    finally:
        log.close()
        shutil.rmtree(context.scratch)
    rows, inputs = read_split(Table(context.clean.open() / "rows"), "validation"), compression.validation_inputs
    problem = case.problem_of(state)
    sign = 1.0 if problem.higher_is_better else -1.0
    before, after = (
        sign * np.asarray(problem.per_row_metric(problem.decode(rows, onnx_model.predict(content, inputs), state)), np.float64)
        for content in (dense, model)
    )
    drop = statistics.paired_drop(before, after)
    times = time_in_turn([dense, model], inputs[:1], case.training.threads)
    speedup = statistics.ratio_interval(times[0], times[1])
    return TrialResult(
        drop=drop.value,
        drop_low=drop.low,
        drop_high=drop.high,
        bytes=len(model),
        size_share=len(model) / len(dense),
        ms=median(times[1]),
        speedup=speedup.value,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
    )


def time_in_turn(models: list[bytes], inputs: Array, threads: int) -> list[list[float]]:
    """The milliseconds of a call of each model, the median of each of `ROUNDS` rounds in which all are timed in turn."""
    from tasks.core import onnx_model

    sessions = [onnx_model.create_session(content, threads) for content in models]
    calls: list[Callable[[], Any]] = [lambda session=session: session.run(None, {"inputs": inputs}) for session in sessions]  # type: ignore[misc]
    counts = [max(3, int(BLOCK_S / max(1e-6, median(_times(call, 10))))) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for number in range(ROUNDS):
        for place in sorted(range(len(calls)), key=lambda at: (at + number) % len(calls)):
            times[place].append(1e3 * median(_times(calls[place], counts[place])))
    return times


def _times(call: Callable[[], Any], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds
