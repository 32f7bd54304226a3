"""What a student learns from a pretrained teacher: logits of every train row and of rows without a label, computed once.

They travel with the targets: a row of targets (N, 1 + K) holds the class, -1 without a label, and the teacher's logits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from tasks.compression.teacher_training import NO_CLASS, Lesson, cached_objective
from tasks.core.compression import parameter_count
from tasks.core.errors import UserError
from tasks.core.splits import row_keys
from tasks.core.storage.atomic_files import write_bytes
from tasks.training import interfaces, trainer
from tasks.training.encoding import allocate, encode_tables
from tasks.training.transfer import modes

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.compression import CompressionContext
    from tasks.core.problem import Array
    from tasks.core.settings import PretrainedTeacher

FIT_SETTINGS: dict[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "warmup_share": 0.1,
    "clip_norm": 1.0,
    "label_smoothing": 0.0,
    "mixup": 0.0,
    "adversarial": 0.0,
    "ema_decay": 0.0,
    "accumulate": 1,
    "patience": 0,
}
"""How a pretrained network is fine-tuned, besides the settings of the teacher: as usual for networks of its kind."""
BLOCK_ROWS = 1000
"""Rows whose logits are saved together: the most that a kill loses."""


def prepare_lesson(context: CompressionContext, settings: PretrainedTeacher) -> Lesson:
    """The train rows and the rows without a label, with the logits of a pretrained network that was fitted to the train rows.

    The notes count the rows, and hold the teacher's score on the validation rows, which it does not learn from.
    Raises `UserError` for targets that are not one class per row.
    """
    if context.targets.ndim != 1 or not np.issubdtype(context.targets.dtype, np.integer):
        raise UserError("a pretrained teacher names one class per row, and these rows have other targets; take teacher: dense")
    train, unlabelled = list(context.read_train()), [table for table in context.read_unlabelled() if len(table)]
    logits = teacher_logits(context, settings, [*train, *unlabelled, *context.read_validation()], train[0])
    rows, validation_rows = len(context.inputs), len(context.validation_inputs)
    total = len(logits) - validation_rows
    targets = np.full((total, 1 + logits.shape[1]), NO_CLASS, np.float32)
    targets[:rows, 0], targets[:, 1:] = context.targets, logits[:total]
    notes = {
        "teacher": settings.weights or "package",
        "labelled_rows": rows,
        "unlabelled_rows": total - rows,
        "teacher_validation_score": context.score(logits[total:]),
    }
    context.event_log.log(
        f"a pretrained teacher labelled {total:,} rows, {total - rows:,} of them without a label; "
        f"its validation score is {notes['teacher_validation_score']:.4f}"
    )

    def objective(teacher_share: float, temperature: float) -> interfaces.Objective:
        return cached_objective(context.problem, context.case.training, teacher_share, temperature)

    return Lesson(with_unlabelled(context, unlabelled), targets, objective, notes)


def with_unlabelled(context: CompressionContext, unlabelled: Sequence[DataFrame]) -> Array:
    """The inputs of the train rows, then of the rows without a label; a file in scratch when they are large."""
    if not unlabelled:
        return context.inputs
    any_class = context.state["classes"][0]  # encode needs one; the targets are not used
    label = context.case.label_column(unlabelled[0])
    folder = context.scratch / "unlabelled"
    folder.mkdir(exist_ok=True)
    added, _ = encode_tables(context.case, [table.assign(**{label: any_class}) for table in unlabelled], context.state, folder)
    inputs = allocate(len(context.inputs) + len(added), context.inputs, folder / "all.npy")
    inputs[: len(context.inputs)], inputs[len(context.inputs) :] = context.inputs, added
    return inputs


def teacher_logits(
    context: CompressionContext, settings: PretrainedTeacher, tables: Sequence[DataFrame], train: DataFrame
) -> Array:
    """The teacher's logits (N, K) for the rows of all tables. Blocks that a killed stage saved are read; if none lacks, no
    teacher is fitted."""
    folder = context.scratch / "teacher" / _key(context, settings, tables)
    folder.mkdir(parents=True, exist_ok=True)
    label: Callable[[DataFrame], Array] | None = None
    total, done, logits = sum(map(len, tables)), 0, list[Any]()
    for number, block in enumerate(_blocks(tables)):
        path = folder / f"logits-{number:05d}.npy"
        if not path.exists():
            label = label or fit_teacher(context, settings, train, folder / "fit")
            _save(path, label(block).astype(np.float32))
        logits.append(np.load(path))
        done += len(block)
        context.event_log.progress(done, total, "rows labelled by the teacher")
    return np.concatenate(logits)


def fit_teacher(
    context: CompressionContext, settings: PretrainedTeacher, train: DataFrame, scratch: Path
) -> Callable[[DataFrame], Array]:
    """Fit the use case's pretrained network to labelled train rows; returns the function from rows to its logits (N, K)."""
    case, problem, training = context.case, context.problem, context.case.training
    any_class, label_column = context.state["classes"][0], case.label_column(train)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        network, state = case.build_teacher(context.state, settings)
    scratch.mkdir(exist_ok=True)
    inputs, targets = encode_tables(case, [train], state, scratch)
    context.event_log.log(f"fits a pretrained teacher of {parameter_count(network):,} parameters to {len(inputs):,} train rows")
    fit_settings = replace(
        training,
        **FIT_SETTINGS,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
    )
    fitted = modes.fit(
        settings,
        network,
        inputs,
        targets,
        validation=encode_tables(case, context.read_validation(), state, scratch, "validation_"),
        objective=lambda network, x, y: problem.loss(network(x), y, fit_settings),
        training=fit_settings,
        monitor=lambda outputs, _: {"score": context.score(outputs)},
        augmentation=case.batch_augmentation(),
        event_log=context.event_log,
        checkpoint=scratch,
    )

    def label(rows: DataFrame) -> Array:
        encoded, _ = case.encode(rows.assign(**{label_column: any_class}), state)  # encode needs a class, the logits do not
        return trainer.predict(fitted.network, encoded, fitted.plan)

    return label


def _blocks(tables: Sequence[DataFrame]) -> Iterator[DataFrame]:
    for table in tables:
        for start in range(0, len(table), BLOCK_ROWS):
            yield table.iloc[start : start + BLOCK_ROWS].reset_index(drop=True)


def _save(path: Path, logits: Array) -> None:
    buffer = io.BytesIO()
    np.save(buffer, logits)
    write_bytes(path, buffer.getvalue())


def _key(context: CompressionContext, settings: PretrainedTeacher, tables: Sequence[DataFrame]) -> str:
    """A SHA-256 of what the logits depend on: settings, code, machine precision, and the rows with their labels."""
    case = context.case
    digest = sha256(f"{settings!r} {case.training!r} {case.model!r} {torch.__version__}".encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    label = case.label_column(tables[0])
    columns = tuple(dict.fromkeys([*case.unique_key, label]))
    keys = pd.concat([row_keys(table, columns) for table in tables])
    digest.update("".join(keys).encode())
    return digest.hexdigest()[:16]
