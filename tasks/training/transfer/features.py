"""Outputs of a network's first layers, computed once for each row and kept on disk, so that a killed stage resumes."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tasks.core.storage import file_backed
from tasks.core.storage.atomic_files import write_bytes
from tasks.training.batches import as_tensor
from tasks.training.encoding import allocate
from tasks.training.interfaces import UNIFORMS, BatchAugmentation
from tasks.training.resume import digest
from tasks.training.runtime import precision
from tasks.training.runtime.determinism import seed_step
from tasks.training.runtime.precision import ComputePlan
from tasks.training.validation import forward, predict_rows

if TYPE_CHECKING:
    from tasks.core.storage.event_log import EventLog
    from tasks.core.use_case import Array

BLOCK_ROWS = 64
"""Rows that are saved at once, and at most lost by a kill."""


def compute(
    layers: nn.Module,
    inputs: Array | Tensor,
    plan: ComputePlan,
    folder: Path,
    *,
    variants: int = 1,
    augmentation: BatchAugmentation | None = None,
    seed: int = 0,
    event_log: EventLog | None = None,
) -> Array:
    """Outputs (V N, ...), float16, of `layers` in evaluation mode for inputs (N, ...): first the rows as they are, then V - 1
    augmented variants of all of them.

    Finished blocks lie in `folder` until all are there, under a name that depends on weights, inputs and plan. A second call
    after a kill goes on with the first missing block. Equal arguments give equal bytes.
    """
    rows = as_tensor(inputs)
    labels = [repr(plan), repr(augmentation), str(variants), str(seed), torch.__version__]
    folder = folder / digest(labels, [*layers.state_dict().values(), rows])[:16]
    precision.prepare_network(layers, plan)
    starts = range(0, len(rows), BLOCK_ROWS)
    blocks = [(variant, start) for variant in range(variants) for start in starts]
    paths = [folder / f"{variant:03d}-{start:09d}.npy" for variant, start in blocks]
    for number, ((variant, start), path) in enumerate(zip(blocks, paths, strict=True)):
        if not path.exists():
            batch = rows[start : start + BLOCK_ROWS]
            if variant and augmentation:
                with torch.random.fork_rng():
                    seed_step(seed, variant * len(rows) + start, "cpu")
                    batch = augmentation(batch, torch.rand(len(batch), UNIFORMS))
            parts = batch.split(predict_rows(rows))
            outputs = [forward(layers, precision.prepare_batch(part, plan), plan).cpu() for part in parts]
            content = io.BytesIO()
            np.save(content, torch.cat(outputs).numpy().astype(np.float16))
            write_bytes(path, content.getvalue())
            file_backed.release_pages()
        if event_log:
            event_log.progress(number + 1, len(blocks), "blocks of features")
    layers.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    features, filled = allocate(variants * len(rows), np.load(paths[0]), folder.with_suffix(".npy")), 0
    for path in paths:
        block = np.load(path)
        features[filled : filled + len(block)] = block
        filled += len(block)
    shutil.rmtree(folder)
    return features
