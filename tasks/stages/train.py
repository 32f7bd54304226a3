"""A fresh network, fitted to the train rows and their variants, chosen on validation."""

from __future__ import annotations

import resource
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasks.core.artifacts import Checkpoint, Table, read_split
from tasks.core.atomic_files import write_json
from tasks.core.stage_context import StageContext
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.training import distributed, interfaces, trainer
from tasks.training.encoding import encoded

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array


def main(context: StageContext) -> None:
    """Learn from the train rows, encode, fit, and write the checkpoint, its curves and a report without any clock's figure."""
    case, training = context.case, context.case.training
    torch.set_num_threads(training.threads)
    rows, variants = Table(context.clean.open() / "rows"), Table(context.augmented.open() / "rows")
    train, validation = read_split(rows, "train"), read_split(rows, "validation")
    state = case.fit_preprocessing(train)
    inputs, targets = encoded(case, [train, *variants.partitions()], state, context.scratch)
    held_out, truth = case.encode(validation, state)
    torch.manual_seed(training.seed)
    network = case.build_model(state)
    case.initialize_weights(network, inputs, targets)
    context.event_log.log(f"{len(inputs):,} train rows, {len(held_out):,} for validation, {parameters(network):,} parameters")
    began, spent = time.monotonic(), cpu_s()
    fitted = trainer.fit(
        network,
        inputs,
        targets,
        objective=lambda model, x, y: case.loss(model(x), y),
        training=training,
        validation=(held_out, truth),
        monitor=monitor(case, validation, state),
        higher_is_better=case.higher_is_better,
        error=standard_error(case, validation, state),
        policy=case.batch_augmentation(),
        event_log=context.event_log,
        checkpoint=context.scratch / "fit",
    )
    if not distributed.leads():
        shutil.rmtree(context.scratch)
        return
    context.event_log.event(
        "cost", wall_s=round(time.monotonic() - began, 3), cpu_s=round(cpu_s() - spent, 3), steps=fitted.steps
    )
    with context.model.draft() as draft:
        Checkpoint(draft, context.case.name).write(fitted.network, state)
        write_json(draft / "curves.json", fitted.curves)
        write_json(
            draft / "report.json",
            {
                "train_rows": len(train),
                "variants": len(inputs) - len(train),
                "validation_rows": len(validation),
                "epochs": fitted.epochs,
                "best_epoch": fitted.best_epoch,
                "steps": fitted.steps,
                "parameters": parameters(fitted.network),
                "device": fitted.plan.device,
                "precision": fitted.plan.precision,
                "threads": training.threads,
                "seed": training.seed,
                "shown": case.sample_outputs(fitted.network, state),
            },
        )
    shutil.rmtree(context.scratch)
    context.event_log.log(f"kept epoch {fitted.best_epoch} of {fitted.epochs}")


def monitor(case: UseCase, rows: DataFrame, state: PreprocessingState) -> interfaces.Monitor:
    """The use case's own scores of the validation rows, after every epoch."""
    return lambda outputs, _: case.metrics(case.decode(rows, outputs, state))


def standard_error(case: UseCase, rows: DataFrame, state: PreprocessingState) -> interfaces.Error:
    """How far the first score of the validation rows is from the truth by chance alone."""

    def error(outputs: Array) -> float:
        values = np.asarray(case.per_row_metric(case.decode(rows, outputs, state)), np.float64)
        return float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0

    return error


def parameters(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
