"""One trial of a recipe on a trained dense model: its drop on validation rows, its time beside dense, and its bytes."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import params_file
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.compression import CompressionContext
    from tasks.core.problem import PreprocessingState
    from tasks.core.stage_context import StageContext
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
        result = _measure(Path(folder), use_case, recipe, effort, path)
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


@dataclass(frozen=True, slots=True)
class Dense:
    """What every trial on a dense model needs, read once in a worker process."""

    context: StageContext
    network: nn.Module
    state: PreprocessingState
    compression: CompressionContext
    """Its `answers`, those of the dense network as a teacher, are shared by all trials."""
    content: bytes
    """The dense network's file."""


@lru_cache(maxsize=1)
def read_dense(folder: Path, use_case: str, results: Path) -> Dense:
    """The dense model of a workspace; `results`, where it was measured, tells apart two that a workspace held in turn."""
    from tasks.core.stage_context import StageContext
    from tasks.core.storage.artifacts import Checkpoint
    from tasks.core.storage.event_log import EventLog
    from tasks.stages import compress

    params = params_file.read_params(folder / "params.yaml")
    case = params_file.build_use_case(use_case, params)
    log = EventLog(folder / "journal" / f"recipes-{os.getpid()}.jsonl")
    atexit.register(log.close)
    context = StageContext(name=use_case, case=case, event_log=log, recipe_name=f"worker-{os.getpid()}", root=folder)
    network, state = Checkpoint(context.model.open(), case.name).read()
    compression = compress.build_context(context, state)
    _, content, _ = compress.apply_recipe(network, (), compression, use_case)
    return Dense(context, network, state, compression, content)


def _measure(folder: Path, use_case: str, recipe: list[dict[str, Any]], effort: float, path: Path) -> TrialResult:
    import torch

    from tasks.core import onnx_model
    from tasks.core.storage.artifacts import Table, read_split
    from tasks.evaluation import statistics
    from tasks.stages import compress

    dense = read_dense(folder, use_case, path.parent)
    case, inputs = dense.context.case, dense.compression.validation_inputs
    steps = params_file.build_recipe("searched", params_file.Params({}, {"searched": scaled(recipe, effort)}))
    torch.set_num_threads(case.training.threads)
    scratch = dense.compression.scratch / path.stem
    try:
        compression = replace(dense.compression, notes={}, scratch=scratch)
        _, model, _ = compress.apply_recipe(dense.network, steps, compression, use_case)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = read_split(Table(dense.context.clean.open() / "rows"), "validation")
    problem = case.problem_of(dense.state)
    sign = 1.0 if problem.higher_is_better else -1.0
    before, after = (
        sign
        * np.asarray(problem.per_row_metric(problem.decode(rows, onnx_model.predict(content, inputs), dense.state)), np.float64)
        for content in (dense.content, model)
    )
    drop = statistics.paired_drop(before, after)
    times = time_in_turn([dense.content, model], inputs[:1], case.training.threads)
    speedup = statistics.ratio_interval(times[0], times[1])
    return TrialResult(
        drop=drop.value,
        drop_low=drop.low,
        drop_high=drop.high,
        bytes=len(model),
        size_share=len(model) / len(dense.content),
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
