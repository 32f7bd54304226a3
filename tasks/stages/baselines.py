"""Fit the classic models of a use case on its train rows and export each as one ONNX file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.compression import calibration
from tasks.compression.onnx_export import set_metadata, with_short_names
from tasks.core import onnx_model
from tasks.core.exported_baseline import ExportedBaseline, slug
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Table, read_split
from tasks.core.storage.atomic_files import write_bytes, write_json
from tasks.core.use_case import UseCase
from tasks.data import sampling
from tasks.metrics import input_scores
from tasks.training.encoding import encode_tables

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array

CALIBRATION_ROWS = 10_000
"""The most validation rows, evenly spaced, that calibrate: counts of terms are as wide as the longest text among them."""

TOLERANCE = 1e-4
"""The largest difference from scikit-learn's outputs, as a share of the largest output (or of 1, if that is more)."""
NONE_EXPORTED = "no classic model of this problem is exported; its baselines are fitted by evaluate"


def main(context: StageContext) -> None:
    """Write one folder for each classic model, with a report that compares the file with scikit-learn.

    The models are fitted on train rows; validation rows calibrate their probabilities. No test row is read.
    """
    rows = Table(context.clean.open() / "rows")
    train, validation = read_split(rows, "train"), read_split(rows, "validation")
    exported = context.case.exported_baselines(train)
    reports = []
    with context.baselines.draft() as draft:
        for name, baseline in exported.items():
            content = to_bytes(baseline, context.name, slug(name))
            compared = parity(content, baseline.inputs, baseline.expected, name)
            content, calibrated = calibrate(content, context.case, baseline, train, validation, context.scratch)
            content = with_short_names(content)
            report = {
                "name": name,
                "slug": slug(name),
                "bytes": len(content),
                "parameters": baseline.parameters,
                "macs": None,
                "parity": compared,
                **({"calibration": calibrated} if calibrated else {}),
                "train_rows": baseline.train_rows,
            }
            write_bytes(draft / slug(name) / "model.onnx", content)
            write_json(draft / slug(name) / "report.json", report)
            reports.append(report)
            context.event_log.log(f"{name}: {baseline.train_rows:,} train rows, {len(content):,} bytes")
        note = "" if exported else NONE_EXPORTED
        write_json(draft / "report.json", {"baselines": [report["slug"] for report in reports], "note": note})
    shutil.rmtree(context.scratch)
    if note:
        context.event_log.log(note)


def to_bytes(baseline: ExportedBaseline, use_case: str, architecture: str) -> bytes:
    """The checked file of a classic model; its metadata has the entries of a network's."""
    set_metadata(
        baseline.model, {"use_case": use_case, "architecture": architecture, "fields": {}, "learnt": dict(baseline.state)}
    )
    return onnx_model.to_bytes(baseline.model)


def calibrate(
    content: bytes, case: UseCase, baseline: ExportedBaseline, train: DataFrame, validation: DataFrame, scratch: Path
) -> tuple[bytes, dict[str, Any]]:
    """The file calibrated on at most `CALIBRATION_ROWS` validation rows, and a report; the same file for no classes."""
    inputs, targets = encode_tables(case, [spaced(validation, CALIBRATION_ROWS)], baseline.state, scratch, "validation_")
    usual = baseline.inputs
    if input_scores.fit(usual, baseline.state) is not None:
        usual, _ = encode_tables(case, [spaced(train, input_scores.FIT_ROWS)], baseline.state, scratch)
    return calibration.calibrate(
        content,
        case.problem_of(baseline.state),
        baseline.state,
        train_inputs=usual,
        validation_inputs=inputs,
        validation_targets=targets,
        coverage=case.training.coverage,
    )


def spaced(rows: DataFrame, limit: int) -> DataFrame:
    """At most `limit` of the rows, evenly spaced."""
    (chosen,) = sampling.evenly_spaced_rows([len(rows)], limit)
    return rows.iloc[chosen].reset_index(drop=True)


def parity(content: bytes, inputs: Array, expected: Any, name: str) -> dict[str, Any]:
    """The differences between the file's outputs and scikit-learn's; raises `RuntimeError` when they are larger than allowed."""
    outputs = np.asarray(onnx_model.predict(content, inputs), np.float64)
    if outputs.shape != expected.shape:
        raise RuntimeError(f"the file of {name} gives outputs of shape {outputs.shape}, scikit-learn of {expected.shape}")
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(outputs - expected).max())
    if not difference <= TOLERANCE * scale:
        raise RuntimeError(
            f"the file of {name} differs from scikit-learn by {difference:.3g}; {TOLERANCE * scale:.3g} is allowed"
        )
    return {
        "rows": len(inputs),
        "max_difference": difference,
        "largest_output": scale,
        "tolerance": TOLERANCE,
        "equal_decisions_share": float((outputs.argmax(-1) == expected.argmax(-1)).mean()),
    }
