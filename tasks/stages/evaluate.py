"""Metrics and size of a recipe's ONNX file, compared with dense on the same rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core import onnx_model
from tasks.core.compression import DENSE
from tasks.core.errors import UserError
from tasks.core.exported_baseline import slug
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.splits import EVALUATION_SPLITS, SPLITS
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Artifact, Checkpoint, Table, read_split
from tasks.core.storage.atomic_files import write_json
from tasks.core.use_case import UseCase
from tasks.evaluation import classic_models, robustness, slices, statistics
from tasks.evaluation.classic_models import ClassicModel
from tasks.evaluation.comparison import compare_with_baselines, compare_with_dense, fit_baselines
from tasks.evaluation.uncertainty import measure_uncertainty

if TYPE_CHECKING:
    from pandas import DataFrame

ENCODED_BYTES = 64 * 2**20
"""The most bytes of inputs that are encoded at a time."""
EXPLAINED_ROWS = 50
"""Number of the best and of the worst predictions of a split that get attributions."""


def main(context: StageContext) -> None:
    """Evaluate one recipe; the only stage that reads test rows. Everything it writes is reproducible."""
    if DENSE not in context.recipe_names:
        raise UserError(f"params.yaml: recipes has no {DENSE!r}; add `{DENSE}: []`, the model that all others are compared with")
    own, dense = context.compressed(context.recipe_name), context.compressed(DENSE)
    rows = Table(context.clean.open() / "rows")
    problem = context.case.problem_of(load_model(dense)[1])
    predicted = {split: predict_rows(own, context.case, read_split(rows, split)) for split in EVALUATION_SPLITS}
    counts = {split: sum(int((part["split"] == split).sum()) for part in rows.partitions(["split"])) for split in SPLITS}
    classic: list[ClassicModel] = []
    baselines: dict[str, Mapping[str, DataFrame]] = {}
    metrics: dict[str, Any] = {"recipe": context.recipe_name, "rows": counts}
    metrics |= size_metrics(own, dense)
    metrics["splits"] = {split: split_metrics(problem, predictions) for split, (predictions, _) in predicted.items()}
    if context.recipe_name == DENSE:
        own_predictions = {split: predictions for split, (predictions, _) in predicted.items()}
        split_rows = {split: table for split, (_, table) in predicted.items()}
        classic = classic_models.load(context.baselines, context.case, split_rows, context.recipe_names)
        baselines |= fit_baselines(context.case, rows) | {model.name: model.predictions for model in classic}
        metrics["baselines"], metrics["against_rivals"] = compare_with_baselines(problem, own_predictions, baselines)
        against = {**metrics, "predictions": own_predictions}
        metrics["classic"] = {
            model.slug: model.metrics(context.case, problem, against, split_rows, split_metrics)
            | measure_classic(context.case, problem, model, dense, own_predictions, split_rows)
            for model in classic
        }
    else:
        pairs = {
            split: slices.PairedPredictions(split_rows, predict_rows(dense, context.case, split_rows)[0], predictions)
            for split, (predictions, split_rows) in predicted.items()
        }
        metrics["against_dense"] = {
            split: compare_with_dense(problem, context.case.label_column(pair.rows), pair.own, pair.dense, pair.rows)
            for split, pair in pairs.items()
        }
        metrics["slices"] = slices.find_slices(context.case, problem, pairs["validation"], pairs["test"])
    metrics["robustness"] = measure_robustness(context, own, dense, predicted["test"][1])
    metrics |= measure_uncertainty(
        load_model(own)[0], context.case, {split: split_rows for split, (_, split_rows) in predicted.items()}
    )
    for split, (predictions, split_rows) in predicted.items():
        predicted[split] = (with_attributions(own, context.case, problem, predictions, split_rows), split_rows)
    with context.evaluation(context.recipe_name).draft() as draft:
        for position, (predictions, _) in enumerate(predicted.values()):
            Table(draft / "predictions").write(position, predictions)
        for name, parts in baselines.items():
            for position, predictions in enumerate(parts.values()):
                Table(draft / "baselines" / slug(name) / "predictions").write(position, predictions)
        write_json(draft / "metrics.json", metrics)
    shutil.rmtree(context.scratch)
    log_summary(context, metrics)


def predict_rows(recipe: Artifact, case: UseCase, rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The predictions of the recipe's ONNX file for `rows`, with `split`, `file` and `row`, and the rows."""
    model, state = load_model(recipe)
    size = max(1, len(rows))
    if size > 1:
        size = min(size, max(1, ENCODED_BYTES // max(1, case.encode(rows.head(1), state)[0].nbytes)))
    blocks = (rows.iloc[at : at + size].reset_index(drop=True) for at in range(0, max(1, len(rows)), size))
    outputs = np.concatenate([onnx_model.predict(model, case.encode(block, state)[0]) for block in blocks])
    predictions = case.problem_of(state).decode(rows, outputs, state).reset_index(drop=True)
    origin = [name for name in ("split", "file", "row") if name in rows and name not in predictions]
    return predictions.assign(**{name: rows[name].to_numpy() for name in origin}), rows


def load_model(recipe: Artifact) -> tuple[bytes, PreprocessingState]:
    """The recipe's ONNX file, and the preprocessing state in its metadata."""
    model = (recipe.open() / "model.onnx").read_bytes()
    return model, onnx_model.read_metadata(onnx_model.from_bytes(model))["learnt"]


def with_attributions(recipe: Artifact, case: UseCase, problem: Problem, predictions: DataFrame, rows: DataFrame) -> DataFrame:
    """The predictions with `attributions` for the best and the worst of them; unchanged for a use case without `explain`."""
    if type(case).explain is UseCase.explain:
        return predictions
    model, state = load_model(recipe)
    per_row = np.asarray(problem.per_row_metric(predictions), np.float64)
    order = np.argsort(per_row, kind="stable")
    chosen = np.unique(np.concatenate([order[:EXPLAINED_ROWS], order[::-1][:EXPLAINED_ROWS]]))
    runtime = onnx_model.create_session(model)
    explanations = case.explain(
        rows.iloc[chosen].reset_index(drop=True), state, lambda inputs: runtime.run(None, {"inputs": inputs})[0]
    )
    attributions: list[list[dict[str, Any]]] = [[] for _ in range(len(predictions))]
    for place, parts in zip(chosen.tolist(), explanations, strict=True):
        attributions[place] = parts
    return predictions.assign(attributions=attributions) if any(attributions) else predictions


def split_metrics(problem: Problem, predictions: DataFrame) -> dict[str, Any]:
    """The metrics of one split, the first with its 95 % interval, the report, and what blocks a release."""
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


def size_metrics(own: Artifact, dense: Artifact) -> dict[str, Any]:
    """Bytes of the ONNX file, parameters and multiply-accumulates, and their shares of the dense model's."""
    report, dense_report = own.json("report.json"), dense.json("report.json")
    sizes: dict[str, Any] = {}
    for name in ("bytes", "parameters", "macs"):
        sizes |= {name: report[name], f"{name}_share": report[name] / dense_report[name]}
    return sizes


def measure_classic(
    case: UseCase,
    problem: Problem,
    model: ClassicModel,
    dense: Artifact,
    dense_predictions: Mapping[str, DataFrame],
    rows: Mapping[str, DataFrame],
) -> dict[str, Any]:
    """Slices, robustness and uncertainty of a classic model, as of a recipe; no adversarial examples, as it has no gradient."""
    pairs = {
        split: slices.PairedPredictions(rows[split], dense_predictions[split], model.predictions[split])
        for split in EVALUATION_SPLITS
    }
    pair = robustness.ModelPair(model.shipped, robustness.ShippedModel(*load_model(dense)), dense.json("report.json")["macs"])
    return {
        "slices": slices.find_slices(case, problem, pairs["validation"], pairs["test"]),
        "robustness": robustness.measure(case, pair, rows["test"]),
        **measure_uncertainty(model.shipped.content, case, rows),
    }


def measure_robustness(context: StageContext, own: Artifact, dense: Artifact, test_rows: DataFrame) -> dict[str, Any]:
    """The model's scores on corrupted test rows and on adversarial examples, paired with dense; empty where there are none."""
    shipped = {artifact.path: robustness.ShippedModel(*load_model(artifact)) for artifact in (own, dense)}
    macs = dense.json("report.json")["macs"]
    report = robustness.measure(context.case, robustness.ModelPair(shipped[own.path], shipped[dense.path], macs), test_rows)
    input_range = context.case.input_range(shipped[own.path].state)
    if input_range is None:
        return report | {"adversarial_note": "none: the inputs are no real values"} if report else {}
    from tasks.evaluation import adversarial

    networks = {path: Checkpoint(path / "network", context.case.name).read()[0] for path in shipped}
    if any(hasattr(network, "onnx_bytes") for network in networks.values()):
        return report | {"adversarial_note": "none: the dense model is an ONNX file, which has no gradient"}
    models = {path: adversarial.Attacked(networks[path], model.content, model.state) for path, model in shipped.items()}
    limit = robustness.row_limit(macs, adversarial.MACS, adversarial.MIN_ROWS, adversarial.MAX_ROWS)
    rows = robustness.sample_rows(test_rows, limit)
    attacked = adversarial.measure(context.case, models[own.path], models[dense.path], rows, input_range)
    return report | {"adversarial": attacked, "adversarial_note": adversarial.NOTE}


def log_summary(context: StageContext, metrics: dict[str, Any]) -> None:
    """Log test metric and size in one line."""
    test = metrics["splits"]["test"]
    context.event_log.log(f"test {test['first']} {test['scores'][test['first']]:.4f}, {metrics['bytes']:,} bytes")
