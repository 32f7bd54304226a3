"""Apply a recipe's compression steps to the network, and write it as one ONNX file whose outputs were compared with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tasks.compression import calibration, lean_file, onnx_export, sensitivity
from tasks.core import onnx_model
from tasks.core.compression import DENSE, CompressionContext, Step, described_fields, parameter_count
from tasks.core.problem import PreprocessingState
from tasks.core.splits import UNLABELLED
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Checkpoint, Table, read_split
from tasks.core.storage.atomic_files import write_bytes, write_json
from tasks.core.use_case import UseCase
from tasks.evaluation import model_size
from tasks.training import budget
from tasks.training.encoding import encode_tables

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

TOLERANCE = 1e-4
"""Largest difference between network and exported file, as a share of the largest output."""
PARITY_ROWS = 1024


def main(context: StageContext) -> None:
    """Read the fitted network and its train and validation rows, apply the recipe, write the file, the network and a report."""
    torch.set_num_threads(context.case.training.threads)
    network, state = Checkpoint(context.model.open(), context.case.name).read()
    compression_context = build_context(context, state)
    network, model, report = apply_recipe(network, context.recipe, compression_context, context.case.name)
    with context.compressed(context.recipe_name).draft() as draft:
        write_bytes(draft / "model.onnx", model)
        Checkpoint(draft / "network", context.case.name).write(network, context.case.export_state(state, network))
        if (context.model.path / "report.json").exists() and (notes := context.model.json("report.json").get("notes")):
            report["fit_notes"] = notes
        write_json(draft / "report.json", {"recipe": context.recipe_name, **report})
        if context.recipe_name == DENSE:
            write_json(draft / "sensitivity.json", sensitivity.measure(model, compression_context, report["macs"]))
    shutil.rmtree(context.scratch)
    context.event_log.log(
        f"{len(model):,} bytes, {report['parameters']:,} parameters, {report['macs']:,} multiply-accumulates a row"
    )


def build_context(context: StageContext, state: PreprocessingState) -> CompressionContext:
    """The context of the steps: train rows with their augmented variants and validation rows, as arrays; no test rows."""
    case = context.case
    rows, variants = Table(context.clean.open() / "rows"), Table(context.augmented.open() / "rows")
    validation = read_split(rows, "validation")

    def read_train() -> list[DataFrame]:
        return [read_split(rows, "train"), *variants.partitions()]

    inputs, targets = encode_tables(case, read_train(), state, context.scratch)
    validation_inputs, validation_targets = encode_tables(case, [validation], state, context.scratch, "validation_")
    case, _ = budget.within_budget(case, len(inputs), state)
    return CompressionContext(
        case=case,
        state=state,
        inputs=inputs,
        targets=targets,
        validation_inputs=validation_inputs,
        validation_targets=validation_targets,
        score=validation_score(case, validation, state),
        event_log=context.event_log,
        scratch=context.scratch,
        read_train=read_train,
        read_validation=lambda: [validation],
        read_unlabelled=lambda: [read_split(rows, UNLABELLED)],
    )


def validation_score(case: UseCase, rows: DataFrame, state: PreprocessingState) -> Callable[[Array], float]:
    """The function that gives the first metric of outputs for these rows, negated where lower is better."""
    problem = case.problem_of(state)
    sign = 1.0 if problem.higher_is_better else -1.0
    return lambda outputs: sign * next(iter(problem.metrics(problem.decode(rows, outputs, state)).values()))


def apply_recipe(
    network: nn.Module, recipe: tuple[Step, ...], compression_context: CompressionContext, name: str
) -> tuple[nn.Module, bytes, dict[str, Any]]:
    """The network after the network steps, the ONNX file after all steps, and a report without timings."""
    inputs = compression_context.validation_inputs
    compression_context = replace(compression_context, dense=network)
    steps: list[dict[str, Any]] = []
    for step in recipe:
        if step.changes == "network":
            network = step(network, compression_context)
            steps.append({"step": step_name(step), "settings": step_settings(step), **size_report(network, inputs)})
    model = onnx_export.to_onnx(network, inputs, compression_context.case.export_state(compression_context.state, network), name)
    exported = onnx_export.parity(network, model, inputs[:PARITY_ROWS], TOLERANCE)
    compression_context.event_log.log(f"exported; the file's outputs differ by at most {exported['max_difference']:.2g}")
    for step in recipe:
        if step.changes == "format":
            model = step(model, compression_context)
            steps.append({"step": step_name(step), "settings": step_settings(step), "bytes": len(model)})
    for step_report in steps:
        step_report |= {"notes": compression_context.notes.get(step_report["step"], {})}
    shipped = onnx_export.parity(network, model, inputs[:PARITY_ROWS], None)
    model, calibrated = calibrate(model, compression_context)
    model = onnx_export.with_short_names(lean_file.without_defaults(model))
    report = {
        "architecture": type(network).__module__.rpartition(".")[2],
        "fields": described_fields(network),
        **size_report(network, inputs),
        "bytes": len(model),
        "steps": steps,
        "shown": compression_context.case.sample_outputs(network, compression_context.state),
        "validation_score": compression_context.score(onnx_model.predict(model, inputs)),
        "parity": {"exported": exported, "shipped": shipped},
        **({"calibration": calibrated} if calibrated else {}),
        "train_rows": len(compression_context.inputs),
        "validation_rows": len(inputs),
    }
    return network, model, report


def calibrate(model: bytes, compression_context: CompressionContext) -> tuple[bytes, dict[str, Any]]:
    """The final file calibrated on the validation rows, and a report of it; the same file for a problem without classes."""
    calibrated, report = calibration.calibrate(
        model,
        compression_context.problem,
        compression_context.state,
        train_inputs=compression_context.inputs,
        validation_inputs=compression_context.validation_inputs,
        validation_targets=compression_context.validation_targets,
        coverage=compression_context.case.training.coverage,
    )
    if report:
        before, after = (report["log_loss"][name] for name in ("before", "after"))
        compression_context.event_log.log(
            f"calibrated on validation: temperature {report['temperature']:.2f}, log loss {before:.4f} to {after:.4f}"
        )
    return calibrated, report


def size_report(network: nn.Module, inputs: Array) -> dict[str, int]:
    """Parameters and multiply-accumulates of the network, whatever machine it runs on."""
    return {"parameters": parameter_count(network), "macs": model_size.macs(network, inputs)}


def step_settings(step: Step) -> dict[str, Any]:
    """The settings of a step, without those of its `optional_settings` that have their default."""
    settings: dict[str, Any] = asdict(step)  # type: ignore[call-overload]
    defaults = asdict(type(step)())  # type: ignore[call-overload]
    optional = getattr(step, "optional_settings", ())
    return {name: value for name, value in settings.items() if name not in optional or value != defaults[name]}


def step_name(step: Step) -> str:
    """The name of a step in params.yaml."""
    return type(step).__module__.rpartition(".")[2]
