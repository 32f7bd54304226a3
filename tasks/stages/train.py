"""Fit a fresh network to the train rows and their augmented variants, and keep the epoch with the best validation score."""

from __future__ import annotations

import resource
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasks.core.compression import parameter_count
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Checkpoint, Table, read_split
from tasks.core.storage.atomic_files import write_json
from tasks.training import budget, interfaces, trainer
from tasks.training.encoding import encode_tables
from tasks.training.runtime import distributed
from tasks.training.transfer import modes

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array


def main(context: StageContext) -> None:
    """Fit the preprocessing and the network, then write the checkpoint, its curves and a report without timings."""
    case, training = context.case, context.case.training
    torch.set_num_threads(training.threads)
    rows, variants = Table(context.clean.open() / "rows"), Table(context.augmented.open() / "rows")
    train, validation = read_split(rows, "train"), read_split(rows, "validation")
    state = case.fit_preprocessing(train)
    problem = case.problem_of(state)
    inputs, targets = encode_tables(case, [train, *variants.partitions()], state, context.scratch)
    validation_inputs, validation_targets = encode_tables(case, [validation], state, context.scratch, "validation_")
    case, budget_note = budget.within_budget(case, len(inputs), state)
    transfer = case.transfer_learning()
    if transfer and transfer.mode == "frozen":
        budget_note = ""  # it has no epochs; those of the budget are for compression
    training, notes = case.training, [*filter(None, [budget_note]), *case.input_notes(inputs, state)]
    for note in notes:
        context.event_log.log(note)
    torch.manual_seed(training.seed)
    network = case.new_network(state, inputs)
    case.initialize_weights(network, inputs, targets)
    context.event_log.log(
        f"{len(inputs):,} train rows, {len(validation_inputs):,} validation rows, {parameter_count(network):,} parameters"
    )
    wall_start, cpu_start = time.monotonic(), cpu_s()
    fit = partial(modes.fit, transfer) if transfer else trainer.fit
    fitted = fit(
        network,
        inputs,
        targets,
        objective=lambda model, x, y: problem.loss(model(x), y, training),
        training=training,
        validation=(validation_inputs, validation_targets),
        monitor=monitor(problem, validation, state),
        higher_is_better=problem.higher_is_better,
        standard_error=standard_error(problem, validation, state),
        augmentation=case.batch_augmentation(),
        input_range=case.input_range(state),
        event_log=context.event_log,
        checkpoint=context.scratch / "fit",
    )
    if not distributed.is_main_process():
        shutil.rmtree(context.scratch)
        return
    context.event_log.event(
        "cost", wall_s=round(time.monotonic() - wall_start, 3), cpu_s=round(cpu_s() - cpu_start, 3), steps=fitted.steps
    )
    if diagnosis := budget.diagnose(fitted.curves, fitted.best_epoch):
        notes.append(diagnosis)
        context.event_log.log(diagnosis, "warning")
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
                "parameters": parameter_count(fitted.network),
                "device": fitted.plan.device,
                "precision": fitted.plan.precision,
                "threads": training.threads,
                "seed": training.seed,
                "notes": notes,
                "shown": case.sample_outputs(fitted.network, state),
            },
        )
    shutil.rmtree(context.scratch)
    context.event_log.log(f"kept epoch {fitted.best_epoch} of {fitted.epochs}")


def monitor(problem: Problem, rows: DataFrame, state: PreprocessingState) -> interfaces.Monitor:
    """The monitor that computes the problem's metrics on the validation rows."""
    return lambda outputs, _: problem.metrics(problem.decode(rows, outputs, state))


def standard_error(problem: Problem, rows: DataFrame, state: PreprocessingState) -> interfaces.StandardError:
    """The function that computes the standard error of the first metric from its values per row."""

    def error(outputs: Array) -> float:
        values = np.asarray(problem.per_row_metric(problem.decode(rows, outputs, state)), np.float64)
        return float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0

    return error


def cpu_s() -> float:
    """The CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
