"""Requests to a served model of pictures, recorded without a server between."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from flows import promotion
from flows.request_log.records import Kept, LogSettings
from flows.serving.interfaces import Exchange
from flows.serving.recorder import RecorderSettings, RequestRecorder
from flows.serving.served_models import ServedModels
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import Table
from tasks.core.storage.manifest import write_manifest
from tests.flows.test_promotion import run

USE_CASE = "vision"


def recorded_run(root: Path, number: int, use_case: str = USE_CASE) -> str:
    """A finished run whose data have a hash, so that its rows are found again; returns its id."""
    name = run(root, number, use_case)
    folder = root / "runs" / name
    (folder / "dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  fetch@{use_case}:\n    cmd: fetch\n    outs:\n    - {{path: data/{use_case}/raw, md5: abc}}\n"
    )
    shutil.copytree(root / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    write_manifest(folder / f"data/{use_case}/raw")
    return name


def project_with_champion(root: Path, use_case: str = USE_CASE) -> Path:
    """Let a run's release become version 1 of its use case; returns the run's folder."""
    name = recorded_run(root, 0, use_case)
    promotion.promote(root, use_case, name)
    return root / "runs" / name


def held_out(folder: Path, use_case: str = USE_CASE) -> pd.DataFrame:
    """The rows of a run that its model was not trained on."""
    rows = Table(folder / "data" / use_case / "clean/rows").read()
    return rows[rows["split"].isin(EVALUATION_SPLITS)].reset_index(drop=True)


def drawn(rows: pd.DataFrame, count: int, seed: int = 1) -> list[bytes]:
    """Pictures drawn at random, with replacement."""
    return [rows["image"].iloc[place] for place in np.random.default_rng(seed).integers(0, len(rows), count)]


def inverted(picture: bytes) -> bytes:
    file = BytesIO()
    ImageOps.invert(Image.open(BytesIO(picture)).convert("L")).save(file, "PNG")
    return file.getvalue()


def ask(
    root: Path, inputs: Sequence[Any], keep: Kept = "features", shadow_share: float = 0.0, use_case: str = USE_CASE
) -> list[str]:
    """Let the champion answer inputs, one in a request, and record it; returns the ids of the requests."""
    models, said = ServedModels(root, [use_case]), list[str]()
    recorder = RequestRecorder(root, models, RecorderSettings(LogSettings(keep, flush_s=0.2), shadow_share), said.append)
    served, ids = models.of(use_case), list[str]()
    observed = served.model.observe(list(inputs))
    for place, value in enumerate(inputs):
        ids.append(f"{use_case}-{uuid.uuid4().hex}")
        recorder.record(
            Exchange(
                use_case,
                ids[-1],
                served.name,
                latency_ms=3.0,
                inputs=[value],
                answers=[observed.answers[place]],
                observed=[(observed, place + 1)],
            )
        )
    recorder.close()
    assert said == []
    return ids
