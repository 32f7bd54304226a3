"""What the shipped file answers, how well, how fast and how large it is, beside the dense one on the same rows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.artifacts import Artifact, Table, read_split
from tasks.core.atomic_files import write_json
from tasks.core.compression import DENSE, EAGER
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.splits import EVALUATION_SPLITS, SPLITS
from tasks.core.stage_context import StageContext
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.evaluation import latency, statistics
from tasks.evaluation.comparison import comparison, rivals
from tasks.evaluation.latency import Variant

if TYPE_CHECKING:
    from pandas import DataFrame

EXPLAINED_ROWS = 50
"""So many of the best and of the worst answers of a split are explained."""


def main(context: StageContext) -> None:
    """The only stage that reads test rows. Figures of a clock go to latency.json, everything else is the same each time."""
    if DENSE not in context.recipe_names:
        raise UserError(f"params.yaml: recipes has no {DENSE!r}; add `{DENSE}: []`, the model that all others are held against")
    own, dense = context.compressed(context.recipe_name), context.compressed(DENSE)
    rows = Table(context.clean.open() / "rows")
    problem = context.case.problem_of(state_of(dense))
    judged = {split: answers(own, context.case, read_split(rows, split)) for split in EVALUATION_SPLITS}
    counts = {split: sum(int((part["split"] == split).sum()) for part in rows.partitions(["split"])) for split in SPLITS}
    metrics: dict[str, Any] = {"recipe": context.recipe_name, "rows": counts}
    metrics |= weight(own, dense)
    metrics["splits"] = {split: appraisal(problem, predictions) for split, (predictions, _) in judged.items()}
    if context.recipe_name == DENSE:
        own_answers = {split: predictions for split, (predictions, _) in judged.items()}
        metrics["baselines"], metrics["against_rivals"] = rivals(context.case, problem, rows, own_answers)
    else:
        metrics["against_dense"] = {
            split: comparison(
                problem, context.case.label_column(found), predictions, answers(dense, context.case, found)[0], found
            )
            for split, (predictions, found) in judged.items()
        }
    for split, (predictions, found) in judged.items():
        judged[split] = (explained(own, context.case, problem, predictions, found), found)
    timing = clock(context, own, dense, judged["validation"][1])
    with context.evaluation(context.recipe_name).draft() as draft:
        for position, (predictions, _) in enumerate(judged.values()):
            Table(draft / "predictions").write(position, predictions)
        write_json(draft / "metrics.json", metrics)
        write_json(draft / "latency.json", timing)
    shutil.rmtree(context.scratch)
    tell(context, metrics, timing)


def answers(recipe: Artifact, case: UseCase, rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Predictions of the recipe's shipped file for `rows`, with `split`, `file` and `row`, and the rows."""
    model = (recipe.open() / "model.onnx").read_bytes()
    state: PreprocessingState = onnx_model.read_metadata(onnx_model.from_bytes(model))["learnt"]
    inputs, _ = case.encode(rows, state)
    predictions = case.problem_of(state).decode(rows, onnx_model.predict(model, inputs), state).reset_index(drop=True)
    origin = [name for name in ("split", "file", "row") if name in rows and name not in predictions]
    return predictions.assign(**{name: rows[name].to_numpy() for name in origin}), rows


def state_of(recipe: Artifact) -> PreprocessingState:
    """What was fitted before training, as the recipe's shipped file holds it."""
    state: PreprocessingState = onnx_model.read_metadata(onnx_model.from_bytes((recipe.open() / "model.onnx").read_bytes()))[
        "learnt"
    ]
    return state


def explained(recipe: Artifact, case: UseCase, problem: Problem, predictions: DataFrame, rows: DataFrame) -> DataFrame:
    """The predictions with `attributions` of some of them, right and wrong ones, where the use case can explain itself."""
    if type(case).explain is UseCase.explain:
        return predictions
    model = (recipe.open() / "model.onnx").read_bytes()
    state: PreprocessingState = onnx_model.read_metadata(onnx_model.from_bytes(model))["learnt"]
    good = np.asarray(problem.per_row_metric(predictions), np.float64)
    order = np.argsort(good, kind="stable")
    chosen = np.unique(np.concatenate([order[:EXPLAINED_ROWS], order[::-1][:EXPLAINED_ROWS]]))
    runtime = onnx_model.create_session(model)
    told = case.explain(rows.iloc[chosen].reset_index(drop=True), state, lambda inputs: runtime.run(None, {"inputs": inputs})[0])
    worth: list[list[dict[str, Any]]] = [[] for _ in range(len(predictions))]
    for place, parts in zip(chosen.tolist(), told, strict=True):
        worth[place] = parts
    return predictions.assign(attributions=worth) if any(worth) else predictions


def appraisal(problem: Problem, predictions: DataFrame) -> dict[str, Any]:
    """Scores, the first with its interval, and what a person reads beside them."""
    scores = problem.metrics(predictions)
    interval = statistics.mean_interval(np.asarray(problem.per_row_metric(predictions), dtype=np.float64))
    return {
        "rows": len(predictions),
        "scores": scores,
        "first": next(iter(scores)),
        "interval": interval.as_dict(),
        "report": problem.report(predictions),
        "objections": problem.release_blockers(predictions),
    }


def weight(own: Artifact, dense: Artifact) -> dict[str, Any]:
    """Bytes as shipped, parameters and multiply-accumulates, with their shares of the dense model's."""
    report, dense_report = own.json("report.json"), dense.json("report.json")
    found: dict[str, Any] = {}
    for name in ("bytes", "parameters", "macs"):
        found |= {name: report[name], f"{name}_share": report[name] / dense_report[name]}
    return found


def clock(context: StageContext, own: Artifact, dense: Artifact, rows: DataFrame) -> dict[str, Any]:
    """Latency of this file, of the dense one and of the dense network under eager PyTorch, side by side."""
    state = state_of(own)
    inputs, _ = context.case.encode(rows.head(max(latency.BATCHES)), state)
    variants = [
        Variant(name=EAGER, runtime="eager", path=dense.open() / "network", use_case=context.case.name),
        Variant(name=DENSE, runtime="onnx", path=dense.open() / "model.onnx"),
    ]
    if context.recipe_name != DENSE:
        variants.append(Variant(name=context.recipe_name, runtime="onnx", path=own.open() / "model.onnx"))
    return latency.latency(variants, inputs, context.scratch, threads=context.case.training.threads, event_log=context.event_log)


def tell(context: StageContext, metrics: dict[str, Any], timing: dict[str, Any]) -> None:
    """The figures in one line for people."""
    test, own = metrics["splits"]["test"], timing["variants"][context.recipe_name]
    told = f"test {test['first']} {test['scores'][test['first']]:.4f}, {metrics['bytes']:,} bytes, "
    told += f"{own['batches']['1']['median_ms']:.3f} ms a row"
    for other, speedup in own["speedup_over"].items():
        told += f", {speedup['1']['ratio']:.1f}x {other}"
    context.event_log.log(told)
